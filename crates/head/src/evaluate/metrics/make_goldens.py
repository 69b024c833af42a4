"""Make `goldens.json`: measures of random classifiers by scikit-learn.

    pip install scikit-learn==1.7.2 numpy
    python make_goldens.py
"""

import json
from pathlib import Path

import numpy as np
from sklearn import metrics


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error in 15 bins (Guo et al. 2017), which scikit-learn does not have."""
    confidence, predicted = probabilities.max(1), probabilities.argmax(1)
    error = 0.0
    for low, high in zip(np.linspace(0, 1, 16)[:-1], np.linspace(0, 1, 16)[1:], strict=True):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            accuracy = (predicted == labels)[inside].mean()
            error += inside.mean() * abs(accuracy - confidence[inside].mean())
    return float(error)


def case(rows: int, classes: int, ties: bool) -> dict:
    """The logits, labels and measures of a classifier that is often right."""
    random = np.random.default_rng(rows + classes)
    labels = random.integers(0, classes, rows)
    labels[:classes] = np.arange(classes)
    logits = random.normal(0, 1, (rows, classes))
    logits[np.arange(rows), labels] += 1.5
    logits = (np.round(logits) if ties else logits).astype(np.float32)
    exponentials = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    probabilities = exponentials / exponentials.sum(1, keepdims=True)
    predicted = logits.argmax(1)
    # In double precision, equal logits in another order have other last digits, and so no ties.
    single = probabilities.astype(np.float32)
    if classes == 2:
        # scikit-learn takes two classes for one curve, and the mean of both is the same.
        auroc = metrics.roc_auc_score(labels, single[:, 1])
    else:
        auroc = metrics.roc_auc_score(labels, single, multi_class="ovr")
    values = {
        "top1": metrics.accuracy_score(labels, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, predicted),
        "macro_f1": metrics.f1_score(labels, predicted, average="macro"),
        "log_loss": metrics.log_loss(labels, probabilities),
        "auroc": auroc,
        "calibration_error": calibration_error(probabilities, labels),
    }
    if classes > 5 and not ties:
        values["top5"] = metrics.top_k_accuracy_score(labels, probabilities, k=5)
    values = {name: float(value) for name, value in values.items()}
    return {"logits": logits.tolist(), "labels": labels.tolist(), "metrics": values}


if __name__ == "__main__":
    cases = [case(120, 7, False), case(90, 10, True), case(80, 2, False), case(60, 3, True)]
    (Path(__file__).parent / "goldens.json").write_text(json.dumps(cases))
