"""A peer that fits softmax regression with scikit-learn on an array of pooled features.

    peer_linear.py --engine sklearn --features F.npy --labels L.npy --threads 2

It prints `ready`. Each line of standard input is answered with the seconds of a fit from the
beginning, its mean cross-entropy over the rows, and its iterations.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits


def main() -> None:
    """Load, and fit as often as is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=("sklearn", "sklearn-csr"), required=True)
    parser.add_argument("--features", type=Path, required=True, help="float32 [N, D]")
    parser.add_argument("--labels", type=Path, required=True, help="int64 [N]")
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    features, labels = np.load(options.features), np.load(options.labels)
    if options.engine == "sklearn-csr":
        features = csr_matrix(features)
    # With its defaults it may end before it has converged, which is as good: the loss counts.
    warnings.simplefilter("ignore", ConvergenceWarning)
    print("ready", flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        with threadpool_limits(options.threads):
            model = LogisticRegression(solver="lbfgs").fit(features, labels)
        seconds = time.perf_counter() - started
        loss = log_loss(labels, model.predict_proba(features))
        print(f"{seconds:.4f} {loss:.6g} {model.n_iter_.max()}", flush=True)


if __name__ == "__main__":
    main()
