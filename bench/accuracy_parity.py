"""The head's accuracy beside that of the same head trained in PyTorch: `bench/run.py accuracy`.

Both train on the training features of the same cache, with the same settings: arch=fastai, Glorot
uniform weights, Adam with learning rate 0.001 and epsilon 1e-7, and batches of 64 that are shuffled
each epoch and include the last, smaller one. Then each is evaluated on the test split. The two draw
different random numbers, so means over seeds are compared.

The project's record has the cache of all of MNIST at 96 px, p = 0.5, 3 epochs, seeds 0 to 2.
Results: a table and `artifacts/bench/accuracy-parity.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

import numpy as np
import recipe
import torch
import torch.nn.functional as F
from engines import BENCH, ROOT, Table, build, write_json
from program import run

THREADS = 2

Split = tuple[torch.Tensor, torch.Tensor]


def newest_cache() -> Path:
    """The cache whose manifest is the newest."""
    manifests = list((ROOT / "artifacts" / "features").glob("*/manifest.json"))
    if not manifests:
        print(
            "error: no feature cache under artifacts/features\n"
            "  make one with `just extract size=96`, or name one with --features",
            file=sys.stderr,
        )
        sys.exit(3)
    return max(manifests, key=lambda path: path.stat().st_mtime).parent


def load(cache: Path, split: str) -> Split:
    """Read a split: pooled features [N, D] float32 and labels [N] int64."""
    paths = [cache / split / f"{name}.npy" for name in ("features", "labels")]
    for path in paths:
        if not path.exists():
            print(f"error: {path} is missing; name another cache with --features", file=sys.stderr)
            sys.exit(3)
    features = np.load(paths[0], mmap_mode="r")
    blocks = [recipe.max_pool(features[i : i + 1000]) for i in range(0, len(features), 1000)]
    return torch.from_numpy(np.concatenate(blocks)), torch.from_numpy(np.load(paths[1]))


def train_pytorch(train: Split, test: Split, p: float, epochs: int, seed: int) -> float:
    """Train the head in PyTorch; return its top-1 on the test split."""
    torch.manual_seed(seed)
    features, labels = train
    head = recipe.pytorch_head(features.shape[1], p)
    optimizer = torch.optim.Adam(
        head.parameters(), recipe.LEARNING_RATE, eps=recipe.ADAM_EPS, fused=True
    )
    for _ in range(epochs):
        head.train()
        for rows in torch.randperm(len(labels)).split(recipe.BATCH):
            optimizer.zero_grad()
            F.cross_entropy(head(features[rows]), labels[rows]).backward()
            optimizer.step()
    head.eval()
    with torch.inference_mode():
        predicted = torch.cat([head(block).argmax(1) for block in test[0].split(1000)])
    return (predicted == test[1]).double().mean().item()


def train_ours(executable: Path, cache: Path, p: float, epochs: int, seed: int) -> float:
    """Train the head with `vgg-head`; return its top-1 on the test split."""
    out = BENCH / "tmp" / "runs"
    words = ["--features", cache, "--arch", "fastai", "--p", p, "--epochs", epochs]
    words += ["--seed", seed, "--threads", THREADS, "--out", out]
    directory = run(executable, "train", *words).output.splitlines()[-1]
    return json.loads(run(executable, "evaluate", "--run", directory, "--json").output)["top1"]


def main() -> None:
    """Parse the command line, train with both programs, and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--features", type=Path, help="a cache; default: the newest")
    parser.add_argument("--p", type=float, default=0.5)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, at least 2")
    options = parser.parse_args()
    if options.seeds < 2:
        parser.error(f"--seeds {options.seeds}: expected at least 2, which a spread needs")
    cache = (options.features or newest_cache()).resolve()
    torch.set_num_threads(THREADS)
    executable = build("--bin", "vgg-head")
    train, test = load(cache, "train"), load(cache, "test")
    print(f"{cache.name}: {len(train[1])} training rows, {len(test[1])} test rows, p {options.p}")
    table = Table("seed", "vgg-head", "PyTorch")
    ours, theirs = [], []
    for seed in range(options.seeds):
        ours.append(train_ours(executable, cache, options.p, options.epochs, seed))
        theirs.append(train_pytorch(train, test, options.p, options.epochs, seed))
        table.row(seed, f"{ours[-1]:.2%}", f"{theirs[-1]:.2%}")
    means = [statistics.mean(values) for values in (ours, theirs)]
    spreads = [statistics.stdev(values) for values in (ours, theirs)]
    table.row("mean", *(f"{mean:.2%}" for mean in means))
    table.row("sd", *(f"{spread:.2%}" for spread in spreads))
    behind = means[1] - means[0]
    verdict = "within the seeds' spread" if behind <= max(spreads) else "outside the seeds' spread"
    print(f"vgg-head - PyTorch: {-behind:+.2%}, {verdict}")
    write_json(
        BENCH / "accuracy-parity.json",
        {
            "cache": cache.name,
            "arch": "fastai",
            "p": options.p,
            "epochs": options.epochs,
            "vgg_head": ours,
            "pytorch": theirs,
            "difference": -behind,
            "within_spread": behind <= max(spreads),
        },
    )


if __name__ == "__main__":
    main()
