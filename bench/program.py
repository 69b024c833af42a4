"""The project's own programs, run as a user runs them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from engines import BENCH, MNIST, ROOT, WEIGHTS, build


class Ended(NamedTuple):
    """The output and the resources of a finished program."""

    output: str
    seconds: float
    peak_mib: float


def run(executable: Path, *words: object) -> Ended:
    """Run a program to its end, with standard error in a log."""
    command = [str(executable), *map(str, words)]
    log = BENCH / "logs" / f"{executable.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as messages:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=messages, text=True
        )
        assert process.stdout
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
        sys.exit(f"error: {' '.join(command)}\n  ended with {process.returncode}:\n{tail}")
    return Ended(output, seconds, usage.ru_maxrss / 1024)


def mnist_features(size: int, *more: object) -> Path:
    """The cache of MNIST at a size, of all of it unless `more` has other flags.

    It is made in some minutes if it is missing.
    """
    print(f"bench: features of MNIST at {size} px", file=sys.stderr)
    words = ["--dataset", MNIST, "--weights", WEIGHTS, "--size", size, *more]
    ended = run(build("--bin", "vgg-extract"), "run", *words)
    return ROOT / ended.output.splitlines()[-1]
