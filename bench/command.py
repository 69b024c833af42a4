"""The whole `vgg-extract run` against the bare loop over the same convolutions.

The command is timed as a process, from its start to its end: reading and hashing the data,
the weight transform, decoding, resizing, the forward pass, hashing and writing. Its rate is
compared with that of the bare loop just before and just after it.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from engines import (
    BENCH,
    MNIST,
    ROOT,
    WEIGHTS,
    Engine,
    Table,
    build,
    rounded,
    write_json,
)

# Images of each of the three splits, by size and backend: about half a minute a run on two
# cores, so that what happens once a run weighs as it does in use.
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
    words = [str(word) for pair in options.items() for word in pair]
    log = BENCH / "logs" / "vgg-extract.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as messages:
        started = time.perf_counter()
        process = subprocess.Popen(
            [executable, "run", *words], cwd=ROOT, stdout=messages, stderr=messages
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
        sys.exit(
            f"error: vgg-extract run {' '.join(words)}\n  ended with {process.returncode}:\n{tail}"
        )
    shutil.rmtree(out)
    return seconds, usage.ru_maxrss / 1024


def bench(
    sizes: list[int],
    rounds: int,
    start_bare: Callable[[str, int], Engine],
) -> None:
    """Measure the command at every size with both backends.

    `start_bare(backend, size)` starts the bare loop that the command is compared with.
    """
    executable = build("--bin", "vgg-extract")
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
