"""The cost of further taps: `bench/run.py extract --part taps`.

Our kernel with the default tap, with further ones, and copying the whole maps of the further
ones from memory to memory, interleaved. A tap ends a chain of layers, so its map lies in memory
as a whole: that is what copying costs. A tap that is kept whole is also written to the caller in
another order.

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


def bench(sizes: Sequence[int], rounds: int, seconds: float, start: Start) -> None:
    """Measure every case at every size; `start` starts our kernel with more words."""
    table = Table(
        "size", f"{'further taps':>21}", "images/s", "ratio", "cost, ms", "copy, ms", "times"
    )
    results = []
    for size in sizes:
        for name, (layers, pooling) in CASES.items():
            taps = ",".join(map(str, (*layers, LAST)))
            words = ["--taps", taps, "--pooling", pooling]
            engines = [
                start("default", size, []),
                start("taps", size, words),
                start("copy", size, [*words, "--copy", 1]),
            ]
            rates = interleave(engines, rounds, seconds)
            for engine in engines:
                engine.close()
            rows = list(zip(rates["default"], rates["taps"], rates["copy"], strict=True))
            result = {
                "size": size,
                "further_taps": name,
                "images_per_s": rounded(statistics.median(rates["taps"])),
                "ratio": rounded(statistics.median(taps / default for default, taps, _ in rows)),
                "cost_ms": rounded(statistics.median(1e3 / t - 1e3 / d for d, t, _ in rows)),
                "copy_ms": rounded(statistics.median(1e3 / copy for _, _, copy in rows)),
            }
            results.append(result)
            write_json(BENCH / "taps.json", results)
            table.row(
                *(size, name, f"{result['images_per_s']:.1f}", f"{result['ratio']:.3f}"),
                *(f"{result['cost_ms']:.3f}", f"{result['copy_ms']:.3f}"),
                f"{result['cost_ms'] / result['copy_ms']:.2f}",
            )
