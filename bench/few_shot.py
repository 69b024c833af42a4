"""Accuracy by the number of labelled images per class: `bench/run.py few-shot`.

The features of 10,000 of MNIST's training digits are cached once, plain and with five distorted
copies of each. Of these, 1, 2, 5, 10 and 50 digits per class are drawn ten times; `--corrections`
leaves all others out, so that nothing is extracted again. Four classifiers learn from each draw,
with settings that are fixed beforehand, since a few images leave none to validate on: `arch=linear`
and `arch=fastai`, both with 300 steps of at most 64 rows, the nearest neighbour, and ridge
regression with alpha = 1. All are evaluated on the 10,000 test digits.

Results: a table of means and standard deviations over the draws, `artifacts/bench/few-shot.json`,
and the plot `docs/few-shot.svg`.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import statistics
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from engines import BENCH, MNIST, ROOT, WEIGHTS, Table, build, require_inputs, write_json
from program import run

mpl.use("svg")
import matplotlib.pyplot as plt  # noqa: E402 (after the choice of the backend)

SHOTS = (1, 2, 5, 10, 50)
VIEWS = 5
POOL = 10_000
STEPS = 300
BATCH = 64
HEADS = {
    "linear": ("--arch=linear", "--lr=0.01", "--weight-decay=0.01"),
    "fastai": ("--arch=fastai", "--p=0.5", "--lr=0.001"),
}
BASELINES = {"knn": "--k=1", "ridge": "--alpha=1"}
NAMES = (*HEADS, *BASELINES)
PLOT = ROOT / "docs" / "few-shot.svg"

Result = dict[str, object]


def cache_of(extractor: Path, size: int, views: int) -> Path:
    """The cache of the training digits to draw from and of all test digits, not split further."""
    words = ["--dataset", MNIST, "--weights", WEIGHTS, "--size", size, "--val-fraction", 0]
    words += ["--limit", POOL]
    if views:
        words += ["--views", views, "--augment", "digits"]
    return ROOT / run(extractor, "run", *words).output.splitlines()[-1]


def digits_of(cache: Path) -> tuple[list[str], np.ndarray]:
    """The ids and labels of the training digits, without those of copies, which follow them."""
    ids = (cache / "train" / "ids.txt").read_text("utf-8").splitlines()
    labels = np.load(cache / "train" / "labels.npy")
    images = len(set(ids))
    return ids[:images], labels[:images]


def draw(ids: list[str], labels: np.ndarray, shots: int, number: int, path: Path) -> int:
    """Write corrections that keep `shots` digits of each class; return how many they keep."""
    random = np.random.default_rng([number, shots])
    kept = np.concatenate(
        [
            random.choice(np.flatnonzero(labels == label), shots, False)
            for label in np.unique(labels)
        ]
    )
    dropped = np.ones(len(ids), bool)
    dropped[kept] = False
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["id", "action", "label"])
        table.writerows([ids[image], "drop", ""] for image in np.flatnonzero(dropped))
    return len(kept)


def accuracies(trainer: Path, cache: Path, corrections: Path, rows: int) -> dict[str, float]:
    """The test top-1 of each classifier that learns from the digits that are not left out."""
    common = ["--features", cache, "--corrections", corrections, "--json"]
    batch = min(BATCH, rows)
    epochs = math.ceil(STEPS / math.ceil(rows / batch))
    found = {}
    for name, words in HEADS.items():
        training = [*common, *words, "--epochs", epochs, "--batch-size", batch]
        training += ["--schedule", "cosine", "--out", BENCH / "tmp" / "few-shot-runs"]
        trained = json.loads(run(trainer, "train", *training).output)["run"]
        evaluated = run(trainer, "evaluate", "--run", trained, "--json").output
        found[name] = json.loads(evaluated)["top1"]
    for name, option in BASELINES.items():
        found[name] = json.loads(run(trainer, name, *common, option, "--test").output)["test"][
            "top1"
        ]
    return found


def draw_plot(results: list[Result], path: Path) -> None:
    """Draw mean and spread of each classifier, dashed with distorted copies."""
    mpl.rcParams.update({"svg.hashsalt": "few-shot", "font.size": 10})
    figure, axes = plt.subplots(figsize=(7, 4.5))
    for colour, name in enumerate(NAMES):
        for views, style in ((0, "-"), (VIEWS, "--")):
            rows = [row for row in results if (row["classifier"], row["views"]) == (name, views)]
            shots = [row["shots"] for row in rows]
            mean, sd = (np.array([100 * row[key] for row in rows]) for key in ("mean", "sd"))
            label = name + (f", {views} copies" if views else "")
            axes.plot(shots, mean, style, color=f"C{colour}", marker="o", markersize=3, label=label)
            axes.fill_between(shots, mean - sd, mean + sd, color=f"C{colour}", alpha=0.08)
    axes.set_xscale("log")
    axes.set_xticks(SHOTS, [str(shots) for shots in SHOTS])
    axes.minorticks_off()
    axes.set_xlabel("labelled digits per class")
    axes.set_ylabel("test top-1 (%)")
    axes.grid(alpha=0.3)
    axes.legend(ncols=2, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Parse the command line, run all draws, print the table and draw the plot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--plot", type=Path, default=PLOT)
    options = parser.parse_args()
    require_inputs(WEIGHTS)
    extractor, trainer = build("--bin", "vgg-extract"), build("--bin", "vgg-head")
    corrections = BENCH / "tmp" / "few-shot.csv"
    corrections.parent.mkdir(parents=True, exist_ok=True)
    table = Table("per class", "copies", *(f"{name} (%)" for name in NAMES))
    results: list[Result] = []
    for views in (0, VIEWS):
        cache = cache_of(extractor, options.size, views)
        ids, labels = digits_of(cache)
        for shots in SHOTS:
            found: dict[str, list[float]] = {name: [] for name in NAMES}
            for number in range(options.draws):
                print(f"bench: {shots} per class, draw {number + 1}", file=sys.stderr)
                rows = draw(ids, labels, shots, number, corrections) * (1 + views)
                for name, top1 in accuracies(trainer, cache, corrections, rows).items():
                    found[name].append(top1)
            cells = []
            for name, values in found.items():
                mean, sd = statistics.mean(values), statistics.stdev(values)
                cells.append(f"{100 * mean:.1f} ± {100 * sd:.1f}")
                results.append(
                    {"classifier": name, "shots": shots, "views": views, "mean": mean, "sd": sd}
                    | {"draws": values, "size": options.size}
                )
            table.row(shots, views, *cells)
            write_json(BENCH / "few-shot.json", results)
    draw_plot(results, options.plot)


if __name__ == "__main__":
    main()
