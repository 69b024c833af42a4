"""The cost of further taps: `bench/run.py extract --part taps`.

Three processes, interleaved: our kernel with the default tap, with further ones, and one that
computes nothing but does with whole maps of the further taps what `vgg-extract` does with them,
which is to hash them (BLAKE3) and to write them to files on a disk, without waiting for the disk.
So "kernel" is what it costs to compute the further outputs, as `[C, H, W]` or pooled globally, in
the caller's memory, and "write" what it costs to write the same maps out, which pooled taps save.
Both are milliseconds of a processor core per image: for the kernel, the difference of the elapsed
times, times its threads; for writing, which one thread does, the elapsed time. A difference of
elapsed times is only as certain as they are, some percent of the time of a forward pass.

Result: a table and `artifacts/bench/taps.json`.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from engines import BENCH, Engine, Table, interleave, rounded, write_json

SIZES = (48, 96, 224)
LAST = 12
# Numbers of layers, and the pooling of all but the last layer's.
CASES: dict[str, tuple[tuple[int, ...], str]] = {
    "conv4_3:avg": ((9,), "avg"),
    "conv4_3": ((9,), "none"),
    "before the pools, avg": ((1, 3, 6, 9), "avg"),
    "before the pools": ((1, 3, 6, 9), "none"),
    "all, avg": (tuple(range(LAST)), "avg"),
    "all": (tuple(range(LAST)), "none"),
}

Start = Callable[[str, int, Sequence[object]], Engine]


def bench(sizes: Sequence[int], rounds: int, seconds: float, threads: int, start: Start) -> None:
    """Measure every case at every size; `start` starts our kernel with more words."""
    table = Table(
        *("size", f"{'further taps':>21}", "images/s", "ratio", "kernel, ms", "write, ms", "times")
    )
    file = BENCH / "tmp" / "taps"
    file.parent.mkdir(parents=True, exist_ok=True)
    results = []
    for size in sizes:
        for name, (layers, pooling) in CASES.items():
            taps = ",".join(map(str, (*layers, LAST)))
            engines = [
                start("default", size, []),
                start("taps", size, ["--taps", taps, "--pooling", pooling]),
                start("write", size, ["--taps", taps, "--pooling", "none", "--write", file]),
            ]
            rates = interleave(engines, rounds, seconds)
            for engine in engines:
                engine.close()
            for written in file.parent.glob(f"{file.name}.*"):
                written.unlink()
            rows = list(zip(rates["default"], rates["taps"], rates["write"], strict=True))
            kernel = statistics.median(1e3 * threads * (1 / t - 1 / d) for d, t, _ in rows)
            write = statistics.median(1e3 / rate for _, _, rate in rows)
            result = {
                "size": size,
                "further_taps": name,
                "images_per_s": rounded(statistics.median(rates["taps"])),
                "ratio": rounded(statistics.median(taps / default for default, taps, _ in rows)),
                "kernel_ms": rounded(kernel),
                "write_ms": rounded(write),
            }
            results.append(result)
            write_json(BENCH / "taps.json", results)
            table.row(
                *(size, name, f"{result['images_per_s']:.1f}", f"{result['ratio']:.3f}"),
                *(f"{kernel:.3f}", f"{write:.3f}", f"{kernel / write:.2f}"),
            )
