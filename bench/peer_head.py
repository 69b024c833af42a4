"""A peer that trains the head on an array of pooled features, with the protocol of serve.py.

    peer_head.py --engine pytorch --features F.npy --labels L.npy --threads 2

Training continues from request to request. The rate is in rows per second.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import recipe
from serve import Work, repeat, serve


def pytorch(options: argparse.Namespace, x: np.ndarray, y: np.ndarray) -> Work:
    """Eager PyTorch; batches are gathered from the array in memory, faster than a DataLoader."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    head = recipe.pytorch_head(x.shape[1], options.p).train()
    # On a CPU the default is Adam with a loop over the parameters.
    fused = True if options.engine == "pytorch-fused" else None
    optimizer = torch.optim.Adam(
        head.parameters(), recipe.LEARNING_RATE, eps=recipe.ADAM_EPS, fused=fused
    )
    features, labels = torch.from_numpy(x), torch.from_numpy(y)
    order: Iterator[torch.Tensor] = iter(())

    def step() -> int:
        nonlocal order
        rows = next(order, None)
        if rows is None:
            order = iter(torch.randperm(len(labels)).split(recipe.BATCH))
            rows = next(order)
        optimizer.zero_grad()
        F.cross_entropy(head(features[rows]), labels[rows]).backward()
        optimizer.step()
        return len(rows)

    return repeat(step)


def keras(options: argparse.Namespace, x: np.ndarray, y: np.ndarray) -> Work:
    """Keras on TensorFlow's CPU build, with `fit` on the whole array, its fastest interface."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    import keras as library
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    library.utils.set_random_seed(0)
    # They are converted to tensors once: every call of `fit` would copy arrays several times.
    features, labels = tf.convert_to_tensor(x), tf.convert_to_tensor(y)
    # By default Keras returns to Python after every step.
    group = 32 if options.engine == "keras-grouped" else 1
    head = recipe.keras_head(x.shape[1], options.p, group)

    class Stopwatch(library.callbacks.Callback):
        """Ends the training after the requested time, and counts its steps."""

        def __init__(self, seconds: float) -> None:
            super().__init__()
            self.seconds = seconds
            self.executions = 0
            self.elapsed = 0.0

        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            now = time.perf_counter()
            if self.executions == 0:
                # The array is copied and the graph traced by now; the clock starts here.
                self.started = now
            self.elapsed = now - self.started
            self.executions += 1
            if self.elapsed > self.seconds:
                self.model.stop_training = True

    def work(seconds: float) -> float:
        watch = Stopwatch(seconds)
        # An epoch's last batch counts as a whole one, an error of at most 0.1 % in Keras' favour.
        head.fit(
            features, labels, batch_size=recipe.BATCH, epochs=1000, verbose=0, callbacks=[watch]
        )
        return (watch.executions - 1) * group * recipe.BATCH / watch.elapsed

    return work


def pytorch_sgd(options: argparse.Namespace, x: np.ndarray, y: np.ndarray) -> Work:
    """Softmax regression in eager PyTorch, with plain SGD."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    layer = recipe.pytorch_linear(x.shape[1])
    optimizer = torch.optim.SGD(layer.parameters(), recipe.LEARNING_RATE)
    features, labels = torch.from_numpy(x), torch.from_numpy(y)
    order: Iterator[torch.Tensor] = iter(())

    def step() -> int:
        nonlocal order
        rows = next(order, None)
        if rows is None:
            order = iter(torch.randperm(len(labels)).split(recipe.BATCH))
            rows = next(order)
        optimizer.zero_grad()
        F.cross_entropy(layer(features[rows]), labels[rows]).backward()
        optimizer.step()
        return len(rows)

    return repeat(step)


ENGINES = {
    "pytorch": pytorch,
    "pytorch-fused": pytorch,
    "pytorch-sgd": pytorch_sgd,
    "keras": keras,
    "keras-grouped": keras,
}


def main() -> None:
    """Load, warm up, and serve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=ENGINES, required=True)
    parser.add_argument("--features", type=Path, required=True, help="float32 [N, D]")
    parser.add_argument("--labels", type=Path, required=True, help="int64 [N]")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--p", type=float, default=0.8)
    options = parser.parse_args()
    features = np.load(options.features, mmap_mode="r" if "keras" in options.engine else None)
    work = ENGINES[options.engine](options, features, np.load(options.labels))
    work(1.0)
    serve(work)


if __name__ == "__main__":
    main()
