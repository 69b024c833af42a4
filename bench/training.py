"""`vgg-head` as a user runs it, on all of MNIST at 96 px: `bench/run.py training`.

- The time from the command to the end of its first epoch, and the peak memory of this command and
  of a sweep of fifteen heads.
- Features beyond memory: training with `--memory` a tenth of the training array is compared with
  training with all of it in memory, in turn. The results are rows per second, including validation,
  and the test accuracy of three seeds after five epochs each way.
- With `--part views` instead: the time of an epoch on `--images` digits with five distorted copies
  of each, in turn with one on the digits alone and with one that sees one view of each.

Each command is timed as a process. Results: tables and `artifacts/bench/training.json`
(`training-views.json`).
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
from pathlib import Path

import numpy as np
from engines import BENCH, Table, build, rounded, write_json
from program import Ended, mnist_features, run

SIZE = 96
THREADS = 2
COPIES = 5
OUT = BENCH / "tmp" / "trained"
MIB = 1 << 20


class Head:
    """`vgg-head` on one cache, where each call finds no results of earlier ones."""

    def __init__(self, cache: Path) -> None:
        self.executable = build("--bin", "vgg-head")
        self.cache = cache

    def __call__(self, command: str, *words: object) -> tuple[Ended, dict]:
        shutil.rmtree(OUT, ignore_errors=True)
        fixed = ["--features", self.cache, "--threads", THREADS, "--out", OUT, "--json"]
        ended = run(self.executable, command, *fixed, *words)
        return ended, json.loads(ended.output)


def measure_views(rounds: int, images: int) -> None:
    """Compare epochs with and without distorted copies, whose rows all fit into memory."""
    limit = ["--limit", images]
    plain = mnist_features(SIZE, *limit)
    copies = mnist_features(SIZE, *limit, "--views", COPIES, "--augment", "digits")
    ways = {
        "images alone": (Head(plain), []),
        f"and {COPIES} copies": (Head(copies), []),
        "one view an epoch": (Head(copies), ["--views-per-epoch", 1]),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for head, _ in ways.values():
        head("train", "--p", 0.5)  # This makes the pooled view.
    for _ in range(rounds):
        for way, (head, words) in ways.items():
            _, result = head("train", "--p", 0.5, "--epochs", 3, *words)
            seconds[way].append(result["summary"]["seconds_an_epoch"])
    shutil.rmtree(OUT, ignore_errors=True)
    plainly = seconds["images alone"]
    table = Table("epoch on", "seconds", "to images alone")
    ratios = {}
    for way, measured in seconds.items():
        shares = [a / b for a, b in zip(measured, plainly, strict=True)]
        ratios[way] = rounded(statistics.median(shares))
        table.row(way, f"{statistics.median(measured):.3f}", f"{statistics.median(shares):.2f}")
    medians = {way: rounded(statistics.median(measured)) for way, measured in seconds.items()}
    write_json(
        BENCH / "training-views.json",
        {
            "size": SIZE,
            "images": images,
            "copies": COPIES,
            "seconds_an_epoch": medians,
            "ratios": ratios,
            "rounds": rounds,
        },
    )


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--part", choices=("heads", "views"), default="heads")
    parser.add_argument(
        "--images", type=int, default=10_000, help="of each split, with --part views"
    )
    options = parser.parse_args()
    if options.part == "views":
        measure_views(options.rounds, options.images)
        return
    cache = mnist_features(SIZE)
    head = Head(cache)
    rows, channels, height, width = np.load(cache / "train/features.npy", mmap_mode="r").shape
    array = 4 * rows * channels * (height // 2) * (width // 2)
    limited = ["--memory", array // 10]
    head("train", "--p", 0.5)  # This makes the pooled view.

    seconds, peaks = [], []
    rates: dict[str, list[float]] = {"in memory": [], "streamed": []}
    streamed_peaks = []
    for _ in range(options.rounds):
        ended, _ = head("train", "--p", 0.5)
        seconds.append(ended.seconds)
        peaks.append(ended.peak_mib)
        for way, words in (("in memory", []), ("streamed", limited)):
            ended, result = head("train", "--p", 0.5, "--epochs", 5, *words)
            rates[way].append(rows / result["summary"]["seconds_an_epoch"])
            (peaks if way == "in memory" else streamed_peaks).append(ended.peak_mib)
    grid = ["--p", "0,0.2,0.4,0.6,0.8", "--seeds", 3, "--epochs", 10, "--schedule", "cosine"]
    sweep, _ = head("sweep", *grid)
    table = Table("command", "seconds", "peak MiB")
    table.row("train, one epoch", f"{statistics.median(seconds):.2f}", f"{max(peaks):.0f}")
    table.row("sweep, 15 heads x 10 epochs", f"{sweep.seconds:.1f}", f"{sweep.peak_mib:.0f}")

    shares = [a / b for a, b in zip(rates["streamed"], rates["in memory"], strict=True)]
    accuracies = {}
    few = ["--p", 0.2, "--seeds", 3, "--epochs", 5, "--schedule", "cosine"]
    for way, words in (("in memory", []), ("streamed", limited)):
        _, result = head("sweep", *few, *words)
        accuracies[way] = result["summary"]["test"]
    table = Table("features", "rows/s", "ratio", "peak MiB", "test top-1", "sd")
    for way, peak, ratio in (
        ("in memory", max(peaks), 1.0),
        ("streamed", max(streamed_peaks), statistics.median(shares)),
    ):
        test = accuracies[way]
        table.row(
            *(way, f"{statistics.median(rates[way]):.0f}", f"{ratio:.2f}", f"{peak:.0f}"),
            *(f"{test['mean']:.2%}", f"{test['sd']:.2%}"),
        )
    shutil.rmtree(OUT, ignore_errors=True)
    write_json(
        BENCH / "training.json",
        {
            "size": SIZE,
            "rows": rows,
            "array_mib": rounded(array / MIB),
            "first_epoch_seconds": rounded(statistics.median(seconds)),
            "peak_mib": round(max(peaks)),
            "sweep_seconds": rounded(sweep.seconds),
            "sweep_peak_mib": round(sweep.peak_mib),
            "streamed_peak_mib": round(max(streamed_peaks)),
            "rows_per_s": rounded(statistics.median(rates["in memory"])),
            "streamed_rows_per_s": rounded(statistics.median(rates["streamed"])),
            "streamed_ratio": rounded(statistics.median(shares)),
            "test_top1": accuracies["in memory"],
            "streamed_test_top1": accuracies["streamed"],
            "rounds": options.rounds,
        },
    )


if __name__ == "__main__":
    main()
