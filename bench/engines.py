"""The parent's side of the benchmarks: long-lived children, measured one at a time, in turn.

Every competitor is a process of its own that stays loaded through the whole comparison and
works only when told (serve.py has the protocol). A round measures each of them once, so that
whatever else the machine does in between meets all of them alike; ratios are taken within a
round.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BENCH = ROOT / "artifacts" / "bench"
ONNX = ROOT / "artifacts" / "weights" / "vgg16-caffe.onnx"
WEIGHTS = ONNX.with_suffix(".safetensors")
MNIST = ROOT / "data" / "mnist"

Rates = dict[str, list[float]]


class Engine:
    """A competitor: a child process that says how fast it works when told to."""

    def __init__(self, name: str, command: Sequence[str | Path], threads: int) -> None:
        self.name = name
        self.log = BENCH / "logs" / f"{name}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        # Each engine is told its number of threads in its own way; OpenMP and rayon also look
        # here before that.
        count = {"OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(
            [str(word) for word in command],
            cwd=ROOT,
            env=dict(os.environ, **count),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log.open("wb"),
            text=True,
        )
        self.command = command
        self._read("ready")

    def _read(self, expected: str | None = None) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline().strip()
        if not line or (expected and line != expected):
            self.process.kill()
            tail = self.log.read_text(errors="replace").splitlines()[-15:]
            words = " ".join(str(word) for word in self.command)
            raise SystemExit(
                f"error: {self.name} said {line!r} instead of {expected or 'a rate'}\n"
                f"  command: {words}\n  its messages ({self.log.relative_to(ROOT)}):\n"
                + "\n".join(f"    {text}" for text in tail)
            )
        return line

    def measure(self, seconds: float) -> float:
        """Work for about this long; return the units a second."""
        assert self.process.stdin
        print(seconds, file=self.process.stdin, flush=True)
        return float(self._read())

    def close(self) -> float:
        """End the child and return its peak resident memory in MiB."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.process.stdout.close()
        return usage.ru_maxrss / 1024


def python(script: str, *options: str | Path | int) -> list[str]:
    """The command line of a peer written in Python."""
    return [sys.executable, str(HERE / script), *map(str, options)]


def build(*target: str) -> Path:
    """Build one of our binaries or examples and return the path of the executable."""
    # The whole workspace, as everywhere: with --package, features would unify another way and
    # the heavy dependencies would compile a second time.
    command = ["cargo", "build", "--workspace", *target]
    print(f"bench: {' '.join(command)}", file=sys.stderr)
    result = subprocess.run(
        [*command, "--message-format=json-render-diagnostics"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    messages = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    found = [message["executable"] for message in messages if message.get("executable")]
    if result.returncode != 0 or not found:
        raise SystemExit(f"error: `{' '.join(command)}` failed; see above")
    return Path(found[-1])


def interleave(engines: Sequence[Engine], rounds: int, seconds: float) -> Rates:
    """Measure every engine once a round, in changing order."""
    rates: Rates = {engine.name: [] for engine in engines}
    for number in range(rounds):
        turn = list(engines) if number % 2 == 0 else list(reversed(engines))
        for engine in turn:
            rates[engine.name].append(engine.measure(seconds))
    return rates


def fastest(rates: Rates, names: Iterable[str]) -> str:
    """The name with the highest median."""
    return max(names, key=lambda name: statistics.median(rates[name]))


def ratios(rates: Rates, ours: str, theirs: str) -> list[float]:
    """How many times as fast `ours` was as `theirs`, round by round."""
    return [a / b for a, b in zip(rates[ours], rates[theirs], strict=True)]


def rounded(value: float) -> float:
    """Keep four significant digits, as many as a measurement here is worth."""
    return float(f"{value:.4g}")


def write_json(path: Path, value: object) -> None:
    """Write a result at once, so that an interruption leaves the results so far."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=2) + "\n")
    temporary.replace(path)


def require_inputs(*paths: Path) -> None:
    """End with the cure when something that set-up makes is not there."""
    for path in paths:
        if not path.exists():
            print(
                f"error: {path.relative_to(ROOT)} is not there; `just setup` makes it",
                file=sys.stderr,
            )
            sys.exit(3)


class Table:
    """A table printed row by row, with columns as wide as their headings ask for."""

    def __init__(self, *headings: str) -> None:
        self.widths = [max(len(heading), 9) for heading in headings]
        self.row(*headings)

    def row(self, *cells: object) -> None:
        """Print one row."""
        padded = (str(cell).rjust(width) for cell, width in zip(cells, self.widths, strict=True))
        print("  ".join(padded), flush=True)
