"""Training the head beside the peers: `bench/run.py head`.

The fastai head is trained on the 50,000 training rows of MNIST's max-pooled features: 2,048 values
per row at 64 px and 4,608 at 96 px, batch size 64. Compared are ours with one head and with eight
in one pass, eager PyTorch with its default Adam and with its fused one, and Keras on TensorFlow's
CPU build with its defaults and with 32 steps per execution, all on the same array and interleaved.
Missing caches are made first, which takes some twelve minutes.

Rates are rows x heads per second. The peers train one head at a time, so with several heads their
rate is that of one after the other. A ratio is the median over the rounds of our rate to that of
the fastest of PyTorch's two and Keras with its defaults, by the median. The share is that of this
machine's rate of matrix products, measured with PyTorch, counting the multiplications of dense
products. Ours skips inputs that are zero, so its share can be above 100 %.

Softmax regression at 96 px follows, beside scikit-learn and PyTorch's SGD: see linear.py. `--part
mlp` or `--part linear` measures only one of them, and `--rows` takes fewer rows, to try it.

Results: tables, `artifacts/bench/head.json` and `artifacts/bench/linear.json`.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import linear
import numpy as np
import recipe
from engines import (
    BENCH,
    Engine,
    Table,
    build,
    fastest,
    interleave,
    python,
    ratios,
    rounded,
    write_json,
)
from program import mnist_features

ROWS = 50_000
SIZES = {64: 2048, 96: 4608}
PEERS = ("pytorch", "pytorch-fused", "keras", "keras-grouped")
# Keras with several steps per execution is shown, but ratios do not count it, since it is not the
# default.
RIVALS = ("pytorch", "pytorch-fused", "keras")
HEADS = (1, 8)


def training_array(size: int, rows: int) -> tuple[Path, Path]:
    """Write the pooled features and the labels of one size; return their paths."""
    # A sixth of the images are those of the validation split.
    limit = () if rows == ROWS else ("--limit", rows * 6 // 5 + 6)
    source = mnist_features(size, *limit) / "train"
    folder = BENCH / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    features, labels = folder / f"pooled-{size}.npy", folder / f"labels-{size}.npy"
    cache = np.load(source / "features.npy", mmap_mode="r")
    starts = range(0, rows, 1000)
    blocks = [recipe.max_pool(cache[i : min(rows, i + 1000)]) for i in starts]
    np.save(features, np.concatenate(blocks))
    np.save(labels, np.load(source / "labels.npy")[:rows])
    return features, labels


def matrix_product_rate(threads: int) -> float:
    """The FLOP/s of a large single-precision matrix product in PyTorch, the best of five."""
    import time

    import torch

    torch.set_num_threads(threads)
    side = 2048
    a, b = torch.rand(side, side), torch.rand(side, side)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / min(seconds)


def flops_a_row(inputs: int) -> float:
    """The number of multiplications and additions of a training step per row.

    Each dense layer has a forward pass, the gradients of its weights and, except for the first
    layer, those of its inputs.
    """
    hidden, classes = recipe.HIDDEN, recipe.CLASSES
    return 2.0 * (2 * inputs * hidden + 3 * hidden * hidden + 3 * hidden * classes)


def compare(size: int, ours: Path, options: argparse.Namespace) -> list[dict]:
    """Measure all competitors at one size; return rows of head.json."""
    features, labels = training_array(size, options.rows)
    words = ["--features", features, "--labels", labels, "--threads", options.threads]
    engines = [
        Engine(f"ours-{heads}", [ours, *map(str, words), "--heads", str(heads)], options.threads)
        for heads in HEADS
    ]
    engines += [
        Engine(name, python("peer_head.py", "--engine", name, *words), options.threads)
        for name in PEERS
    ]
    rates = interleave(engines, options.rounds, options.seconds)
    peak = {engine.name: round(engine.close()) for engine in engines}
    features.unlink()
    labels.unlink()
    peer = fastest(rates, RIVALS)
    peak_rate = matrix_product_rate(options.threads)
    median = {name: statistics.median(values) for name, values in rates.items()}
    results = []
    for heads in HEADS:
        name = f"ours-{heads}"
        against = ratios(rates, name, peer)
        result = {
            "size": size,
            "heads": heads,
            "batch": recipe.BATCH,
            "rows": options.rows,
            "threads": options.threads,
            "rows_per_s": rounded(median[name]),
        }
        result |= {peer.replace("-", "_"): rounded(median[peer]) for peer in PEERS}
        result |= {
            "fastest_peer": peer,
            "ratio": rounded(statistics.median(against)),
            "ratio_lowest": rounded(min(against)),
            "ratio_highest": rounded(max(against)),
            "sgemm_share": rounded(median[name] * flops_a_row(SIZES[size]) / peak_rate),
            "rounds": options.rounds,
            "peak_mib": {name: peak[name] for name in (name, *PEERS)},
        }
        results.append(result)
    return results


def compare_sizes(ours: Path, options: argparse.Namespace) -> None:
    """Measure the fastai head at each size, print the table, and write head.json."""
    table = Table("size", "heads", "batch", "ours", *PEERS, "ratio", "share")
    results = []
    for size in SIZES:
        for result in compare(size, ours, options):
            results.append(result)
            rates = [f"{result[name.replace('-', '_')]:.0f}" for name in PEERS]
            table.row(
                *(size, result["heads"], recipe.BATCH, f"{result['rows_per_s']:.0f}", *rates),
                *(f"{result['ratio']:.2f}x", f"{100 * result['sgemm_share']:.0f} %"),
            )
        write_json(BENCH / "head.json", results)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="per measurement")
    parser.add_argument("--part", choices=("all", "mlp", "linear"), default="all")
    parser.add_argument("--rows", type=int, default=ROWS, help=f"training rows, at most {ROWS:,}")
    options = parser.parse_args()
    if not recipe.BATCH <= options.rows <= ROWS:
        parser.error(f"--rows {options.rows}: expected {recipe.BATCH} to {ROWS}")
    ours = build("--example", "train_array")
    if options.part != "linear":
        compare_sizes(ours, options)
    if options.part != "mlp":
        arrays = training_array(linear.SIZE, options.rows)
        linear.compare(ours, arrays, options)
        for path in arrays:
            path.unlink()


if __name__ == "__main__":
    main()
