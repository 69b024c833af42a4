"""Heads' accuracy beside that of the same heads trained in PyTorch: `bench/run.py accuracy`.

Both train on the training features of the same caches, with the same settings: Glorot uniform
weights, learning rate 0.001, epsilon 1e-7, and batches of 64 that are shuffled each epoch and
include the last, smaller one. Then each is evaluated on the test split. The two draw different
random numbers, so means over seeds are compared. The cases are

- `fastai`: arch=fastai with Adam;
- `weight-decay`: the same with decoupled weight decay of the dense layers' weights (AdamW);
- `linear`: arch=linear with Adam, which is softmax regression without dropout.

If a cache has distorted copies of its training images (`just extract views=…`), an epoch has
their rows as well, in both programs.

The project's record has the caches of all of MNIST at 96 px, plain and with views, p = 0.5, 3
epochs, seeds 0 to 2. Results: a table for each cache and `artifacts/bench/accuracy-parity.json`.
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
CASES = ("fastai", "weight-decay", "linear")
WEIGHT_DECAY = 0.1

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
    """Read a split: pooled features [N, D] float32 and labels [N] int64, copies included."""
    paths = [cache / split / f"{name}.npy" for name in ("features", "labels")]
    for path in paths:
        if not path.exists():
            print(
                f"error: {path} is missing; name a cache of maps in the layout dense, whose rows "
                "are in one part, with --features",
                file=sys.stderr,
            )
            sys.exit(3)
    features = np.load(paths[0], mmap_mode="r")
    blocks = [recipe.max_pool(features[i : i + 1000]) for i in range(0, len(features), 1000)]
    return torch.from_numpy(np.concatenate(blocks)), torch.from_numpy(np.load(paths[1]))


def views(cache: Path) -> int:
    """Distorted copies of each training image."""
    inputs = json.loads((cache / "manifest.json").read_text())["inputs"]
    return (inputs.get("views") or {}).get("count", 0)


def decay_of(case: str) -> float:
    """The weight decay of a case."""
    return WEIGHT_DECAY if case == "weight-decay" else 0.0


def train_pytorch(case: str, train: Split, test: Split, p: float, epochs: int, seed: int) -> float:
    """Train a head in PyTorch; return its top-1 on the test split."""
    torch.manual_seed(seed)
    features, labels = train
    inputs = features.shape[1]
    linear = case == "linear"
    head = recipe.pytorch_linear(inputs) if linear else recipe.pytorch_head(inputs, p)
    # Vectors are biases and parameters of BatchNorm, which do not decay.
    weights = [tensor for tensor in head.parameters() if tensor.ndim > 1]
    vectors = [tensor for tensor in head.parameters() if tensor.ndim == 1]
    # Without decay it is Adam.
    optimizer = torch.optim.AdamW(
        [
            {"params": weights, "weight_decay": decay_of(case)},
            {"params": vectors, "weight_decay": 0.0},
        ],
        recipe.LEARNING_RATE,
        eps=recipe.ADAM_EPS,
        fused=True,
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


def train_ours(executable: Path, cache: Path, case: str, p: float, epochs: int, seed: int) -> float:
    """Train a head with `vgg-head`; return its top-1 on the test split."""
    out = BENCH / "tmp" / "runs"
    words = ["--features", cache, "--epochs", epochs, "--seed", seed, "--threads", THREADS]
    words += ["--arch", "linear"] if case == "linear" else ["--arch", "fastai", "--p", p]
    words += ["--weight-decay", decay_of(case), "--out", out]
    directory = run(executable, "train", *words).output.splitlines()[-1]
    return json.loads(run(executable, "evaluate", "--run", directory, "--json").output)["top1"]


def compare(executable: Path, cache: Path, options: argparse.Namespace) -> list[dict]:
    """Train with both programs on a cache, print the table, and return rows of the results."""
    train, test = load(cache, "train"), load(cache, "test")
    sizes = f"{len(train[1])} training rows, {len(test[1])} test rows"
    print(f"{cache.name}: {sizes}, p {options.p}, {options.epochs} epochs")
    table = Table("case", "seed", "vgg-head", "PyTorch", "difference")
    results = []
    for case in options.cases:
        ours, theirs = [], []
        for seed in range(options.seeds):
            settings = (options.p, options.epochs, seed)
            ours.append(train_ours(executable, cache, case, *settings))
            theirs.append(train_pytorch(case, train, test, *settings))
            table.row(case, seed, f"{ours[-1]:.2%}", f"{theirs[-1]:.2%}", "")
        means = [statistics.mean(values) for values in (ours, theirs)]
        spreads = [statistics.stdev(values) for values in (ours, theirs)]
        behind = means[1] - means[0]
        within = behind <= max(spreads)
        table.row(case, "mean", *(f"{mean:.2%}" for mean in means), f"{-behind:+.2%}")
        table.row(case, "sd", *(f"{spread:.2%}" for spread in spreads), "")
        print(f"{case}: {'within' if within else 'outside'} the seeds' spread")
        results.append(
            {
                "cache": cache.name,
                "views": views(cache),
                "case": case,
                "p": 0.0 if case == "linear" else options.p,
                "weight_decay": decay_of(case),
                "epochs": options.epochs,
                "vgg_head": ours,
                "pytorch": theirs,
                "difference": -behind,
                "within_spread": within,
            }
        )
    return results


def main() -> None:
    """Parse the command line, train with both programs, and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--features", type=Path, nargs="+", help="one cache or several; default: the newest"
    )
    parser.add_argument("--cases", choices=CASES, nargs="+", default=CASES)
    parser.add_argument("--p", type=float, default=0.5, help="dropout of all but linear")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, at least 2")
    options = parser.parse_args()
    if options.seeds < 2:
        parser.error(f"--seeds {options.seeds}: expected at least 2, which a spread needs")
    torch.set_num_threads(THREADS)
    executable = build("--bin", "vgg-head")
    results = []
    for cache in options.features or [newest_cache()]:
        results += compare(executable, cache.resolve(), options)
        write_json(BENCH / "accuracy-parity.json", results)


if __name__ == "__main__":
    main()
