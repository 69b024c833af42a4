"""Make `goldens.json`: temperatures of random classifiers by SciPy's bounded scalar minimiser.

    pip install scipy==1.17.1 numpy
    python make_goldens.py
"""

import json
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax


def log_loss(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    """Mean cross-entropy in nats of softmax(logits / temperature)."""
    return float(-log_softmax(logits / temperature, axis=1)[np.arange(len(labels)), labels].mean())


def case(rows: int, classes: int, scale: float) -> dict:
    """A classifier that is often right, with logits that are `scale` times too large."""
    random = np.random.default_rng(rows + classes)
    labels = random.integers(0, classes, rows)
    logits = random.normal(0, 1, (rows, classes))
    logits[np.arange(rows), labels] += 1.5
    logits = (scale * logits).astype(np.float32)
    exact = logits.astype(np.float64)

    def loss(log_temperature: float) -> float:
        return log_loss(exact, labels, np.exp(log_temperature))

    found = minimize_scalar(loss, bounds=(-12, 12), method="bounded", options={"xatol": 1e-10})
    return {
        "logits": [[float(value) for value in row] for row in logits],
        "labels": labels.tolist(),
        "temperature": float(np.exp(found.x)),
        "log_loss_before": log_loss(exact, labels, 1.0),
        "log_loss": float(found.fun),
    }


if __name__ == "__main__":
    cases = [case(60, 3, 1.0), case(40, 10, 7.0), case(80, 2, 0.02), case(30, 5, 300.0)]
    text = json.dumps(cases).replace("}, {", "},\n{") + "\n"
    Path(__file__).with_name("goldens.json").write_text(text)
