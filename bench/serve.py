"""The children's side of the benchmarks' line protocol.

A child loads, warms up and prints `ready`. Then, for every line on its standard input that
holds a number of seconds, it works for about that long and prints the units it did a second.
It is idle otherwise, and ends when its input does.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable


def serve(work: Callable[[float], int]) -> None:
    """Answer measurement requests; `work(seconds)` works about that long and counts units."""
    print("ready", flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        units = work(float(line))
        elapsed = time.perf_counter() - started
        print(f"{units / elapsed:.6g}", flush=True)


def repeat(step: Callable[[], int]) -> Callable[[float], int]:
    """Turn one step, which returns its units, into work: whole steps until time is up."""

    def work(seconds: float) -> int:
        units = 0
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline:
            units += step()
        return units

    return work
