"""The children's side of the benchmarks' line protocol.

A child loads, warms up and prints `ready`. Then, for every line on its standard input that
holds a number of seconds, it works for about that long and prints the units it did a second.
It is idle otherwise, and ends when its input does.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

Work = Callable[[float], float]
"""Works for about the given number of seconds and returns the units done a second."""


def serve(work: Work) -> None:
    """Announce that the child is ready and answer measurement requests."""
    print("ready", flush=True)
    for line in sys.stdin:
        print(f"{work(float(line)):.6g}", flush=True)


def repeat(step: Callable[[], int]) -> Work:
    """Turn one step, which returns its units, into work: whole steps until time is up."""

    def work(seconds: float) -> float:
        units = 0
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            units += step()
        return units / (time.perf_counter() - started)

    return work
