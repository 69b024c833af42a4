"""Training the head beside the peers: `bench/run.py head`.

The fastai head on 50,000 rows of cached features, max-pooled already: 2,048 values a row (as
at 64 px) and 4,608 (as at 96 px), batch 64. PyTorch eager with its default Adam and with its
fused one, and Keras on TensorFlow's CPU build as it comes and with 32 steps an execution, all
on the same array and interleaved. Where no cache of that size is there, the array is made up:
the rate does not depend on the values.

Results: a table and `artifacts/bench/head.json`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

import numpy as np
import recipe
from engines import BENCH, ROOT, Engine, Table, interleave, python, rounded, write_json

ROWS = 50_000
SIZES = {64: 2048, 96: 4608}
PEERS = ("pytorch", "pytorch-fused", "keras", "keras-grouped")


def cached_split(size: int) -> Path | None:
    """Find the training split of a cache of this input size with rows enough."""
    for path in sorted((ROOT / "artifacts" / "features").glob(f"*-{size}px-*/train")):
        features, labels = path / "features.npy", path / "labels.npy"
        if features.exists() and labels.exists() and len(np.load(labels)) >= ROWS:
            return path
    return None


def training_array(size: int) -> tuple[Path, Path]:
    """Write the pooled features and the labels of one size; return their paths."""
    folder = BENCH / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    features, labels = folder / f"pooled-{size}.npy", folder / f"labels-{size}.npy"
    source = cached_split(size)
    if source:
        print(f"bench: features of {source.relative_to(ROOT)}", file=sys.stderr)
        cache = np.load(source / "features.npy", mmap_mode="r")
        blocks = [recipe.max_pool(cache[i : i + 1000]) for i in range(0, ROWS, 1000)]
        np.save(features, np.concatenate(blocks))
        np.save(labels, np.load(source / "labels.npy")[:ROWS])
    else:
        print(f"bench: no cache of {ROWS} rows at {size} px: made-up features", file=sys.stderr)
        rng = np.random.default_rng(size)
        values = rng.standard_normal((ROWS, SIZES[size]), dtype=np.float32)
        np.save(features, np.maximum(values, 0, out=values))
        np.save(labels, rng.integers(0, recipe.CLASSES, ROWS))
    return features, labels


def compare(size: int, options: argparse.Namespace) -> dict:
    """Measure all competitors at one size; return a row of head.json."""
    features, labels = training_array(size)
    words = ["--features", features, "--labels", labels, "--threads", options.threads]
    engines = [
        Engine(name, python("peer_head.py", "--engine", name, *words), options.threads)
        for name in PEERS
    ]
    rates = interleave(engines, options.rounds, options.seconds)
    peak = {engine.name: round(engine.close()) for engine in engines}
    features.unlink()
    labels.unlink()
    result = {"size": size, "heads": 1, "batch": recipe.BATCH, "threads": options.threads}
    result |= {
        name.replace("-", "_"): rounded(statistics.median(values)) for name, values in rates.items()
    }
    return result | {"rounds": options.rounds, "peak_mib": peak}


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="per measurement")
    options = parser.parse_args()
    table = Table("size", "heads", "batch", *PEERS)
    results = []
    for size in SIZES:
        result = compare(size, options)
        results.append(result)
        write_json(BENCH / "head.json", results)
        rates = [f"{result[name.replace('-', '_')]:.0f}" for name in PEERS]
        table.row(size, 1, recipe.BATCH, *rates)


if __name__ == "__main__":
    main()
