"""Make `goldens.json`: coefficients of scikit-learn's RidgeClassifier.

    pip install scikit-learn==1.9.1 numpy
    python make_goldens.py
"""

import json
from pathlib import Path

import numpy as np
from sklearn.linear_model import RidgeClassifier


def case(rows: int, width: int, classes: int, alphas: list[float]) -> dict:
    """Rows of several classes, with the coefficients for each alpha: `[classes, width]`, or one row for two classes."""
    random = np.random.default_rng(rows + width)
    labels = np.arange(rows) % classes
    centres = random.normal(0, 1, (classes, width))
    features = np.maximum(centres[labels] + random.normal(0, 1, (rows, width)), 0)
    features = features.astype(np.float32).astype(np.float64)
    models = [RidgeClassifier(alpha=alpha, solver="cholesky").fit(features, labels) for alpha in alphas]
    return {
        "width": width,
        "features": features.ravel().tolist(),
        "labels": labels.tolist(),
        "alphas": alphas,
        "coefficients": [np.atleast_2d(model.coef_).tolist() for model in models],
        "intercepts": [np.atleast_1d(model.intercept_).tolist() for model in models],
    }


if __name__ == "__main__":
    # More rows than numbers in a row, fewer, and more of both than a block of the factorisation has.
    cases = [
        case(60, 8, 4, [0.001, 1.0, 100.0]),
        case(30, 5, 2, [0.1]),
        case(12, 30, 3, [0.5]),
        case(90, 70, 2, [2.0]),
    ]
    text = json.dumps(cases).replace("}, {", "},\n{") + "\n"
    Path(__file__).with_name("goldens.json").write_text(text)
