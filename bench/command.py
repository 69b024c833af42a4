"""The whole `vgg-extract run` compared with the bare loop over the same convolutions.

The command is timed as a process, from its start to its end: reading and hashing the data,
transforming the weights, decoding, resizing, the forward pass, hashing and writing. Its rate is
compared with that of the bare loop just before and just after it.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable
from pathlib import Path

from engines import (
    BENCH,
    MNIST,
    WEIGHTS,
    Engine,
    Table,
    build,
    rounded,
    write_json,
)
from program import run

# The number of images of each of the three splits, by size and backend. A run takes about half a
# minute on two cores, so that the work that is done once per run has its usual share.
IMAGES = {
    48: {"torch": 1300, "winograd": 5000},
    96: {"torch": 350, "winograd": 1400},
    224: {"torch": 60, "winograd": 250},
}
SPLITS = 3
THREADS = 2
BARE_SECONDS = 4.0


def run_command(executable: Path, size: int, backend: str, limit: int) -> tuple[float, float]:
    """Run `vgg-extract run` once; return its seconds and its peak resident memory in MiB."""
    out = BENCH / "tmp" / "features"
    shutil.rmtree(out, ignore_errors=True)
    options = {
        "--dataset": MNIST,
        "--weights": WEIGHTS,
        "--size": size,
        "--limit": limit,
        "--backend": backend,
        "--threads": THREADS,
        "--out": out,
    }
    ended = run(executable, "run", *(word for pair in options.items() for word in pair))
    shutil.rmtree(out)
    return ended.seconds, ended.peak_mib


def bench(
    sizes: list[int],
    rounds: int,
    start_bare: Callable[[str, int], Engine],
) -> None:
    """Measure the command at every size with both backends.

    `start_bare(backend, size)` starts the bare loop that the command is compared with.
    """
    executable = build("--bin", "vgg-extract", "--features", "torch")
    table = Table(
        *("size", "backend", "images", "seconds", "images/s", "bare", "ratio", "lowest"),
        *("highest", "peak MiB"),
    )
    results = []
    for size in sizes:
        for backend, limit in IMAGES[size].items():
            images = SPLITS * limit
            engine = start_bare(backend, size)
            times, rates, shares, peaks = [], [], [], []
            bare = [engine.measure(BARE_SECONDS)]
            for _ in range(rounds):
                elapsed, peak = run_command(executable, size, backend, limit)
                bare.append(engine.measure(BARE_SECONDS))
                times.append(elapsed)
                rates.append(images / elapsed)
                shares.append(rates[-1] / statistics.mean(bare[-2:]))
                peaks.append(peak)
            engine.close()
            result = {
                "size": size,
                "backend": backend,
                "images": images,
                "threads": THREADS,
                "seconds": rounded(statistics.median(times)),
                "images_per_s": rounded(statistics.median(rates)),
                "bare_images_per_s": rounded(statistics.median(bare)),
                "ratio": rounded(statistics.median(shares)),
                "ratio_lowest": rounded(min(shares)),
                "ratio_highest": rounded(max(shares)),
                "rounds": rounds,
                "peak_mib": round(max(peaks)),
            }
            results.append(result)
            table.row(
                *(size, backend, images, f"{result['seconds']:.1f}"),
                *(f"{result[key]:.1f}" for key in ("images_per_s", "bare_images_per_s")),
                *(f"{result[key]:.3f}" for key in ("ratio", "ratio_lowest", "ratio_highest")),
                result["peak_mib"],
            )
            write_json(BENCH / "command.json", results)
