"""The children's side of the benchmarks' line protocol.

A child loads, warms up and prints `ready`. Then it reads lines with a number of seconds from
standard input. For each it works for about that long and prints its rate in units per second.
Otherwise it is idle. It ends at the end of its input.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

Work = Callable[[float], float]
"""Works for about the given number of seconds and returns the rate in units per second."""


def serve(work: Work) -> None:
    """Announce that the child is ready and answer measurement requests."""
    print("ready", flush=True)
    for line in sys.stdin:
        print(f"{work(float(line)):.6g}", flush=True)


def repeat(step: Callable[[], int]) -> Work:
    """Turn a step, which returns its number of units, into work: whole steps until time is up."""

    def work(seconds: float) -> float:
        units = 0
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            units += step()
        return units / (time.perf_counter() - started)

    return work
