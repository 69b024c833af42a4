"""The parent's side of the benchmarks, which measures long-lived children one at a time, in turn.

Every competitor is a process of its own that stays loaded during the whole comparison and works
only on request; serve.py has the protocol. A round measures each of them once, so that other load
on the machine affects all of them equally. Ratios are taken within a round.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
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
    """A competitor: a child process that works on request and reports its rate."""

    def __init__(self, name: str, command: Sequence[str | Path], threads: int) -> None:
        self.name = name
        self.log = BENCH / "logs" / f"{name}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        # Each engine sets its number of threads in its own way. OpenMP and rayon read these
        # variables before that.
        count = {"OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)}
        started = time.perf_counter()
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
        # From the start of the process until it has read and prepared the weights. Peers have also
        # done their first passes by then.
        self.start_seconds = time.perf_counter() - started

    def _read(self, expected: str | None = None) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline().strip()
        if not line or (expected and line != expected):
            self.process.kill()
            tail = self.log.read_text(errors="replace").splitlines()[-15:]
            words = " ".join(str(word) for word in self.command)
            raise SystemExit(
                f"error: {self.name} printed {line!r}, expected {expected or 'a rate'}\n"
                f"  command: {words}\n  its messages ({self.log.relative_to(ROOT)}):\n"
                + "\n".join(f"    {text}" for text in tail)
            )
        return line

    def ask(self, line: object) -> list[float]:
        """Send a line; return the numbers of the answer."""
        assert self.process.stdin
        print(line, file=self.process.stdin, flush=True)
        return [float(word) for word in self._read().split()]

    def measure(self, seconds: float) -> float:
        """Work for about this long; return the rate in units per second."""
        (rate,) = self.ask(seconds)
        return rate

    def close(self) -> float:
        """End the child and return its peak resident memory in MiB."""
        assert self.process.stdin and self.process.stdout
        # What wait4 says would include the memory that this process had when it started the child.
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        return int(peak) / 1024


def python(script: str, *options: str | Path | int) -> list[str]:
    """The command line of a peer written in Python."""
    return [sys.executable, str(HERE / script), *map(str, options)]


def build(*target: str) -> Path:
    """Build a program or an example of this project and return the path of the executable."""
    # The whole workspace is built: with --package, features would unify differently and the heavy
    # dependencies would be compiled a second time.
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
    """Measure every engine once per round, in changing order."""
    rates: Rates = {engine.name: [] for engine in engines}
    for number in range(rounds):
        turn = list(engines) if number % 2 == 0 else list(reversed(engines))
        for engine in turn:
            rates[engine.name].append(engine.measure(seconds))
    return rates


def fastest(rates: Rates, names: Iterable[str]) -> str:
    """The name of the engine with the highest median."""
    return max(names, key=lambda name: statistics.median(rates[name]))


def ratios(rates: Rates, ours: str, theirs: str) -> list[float]:
    """The ratios of the rates of `ours` to those of `theirs`, round by round."""
    return [a / b for a, b in zip(rates[ours], rates[theirs], strict=True)]


def rounded(value: float) -> float:
    """Round to four significant digits, which is the precision of these measurements."""
    return float(f"{value:.4g}")


def write_json(path: Path, value: object) -> None:
    """Write the results so far, which an interruption then leaves."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=2) + "\n")
    temporary.replace(path)


def require_inputs(*paths: Path) -> None:
    """End with a message if a file that `just setup` makes is missing."""
    for path in paths:
        if not path.exists():
            print(
                f"error: {path.relative_to(ROOT)} is missing; run `just setup`, which makes it",
                file=sys.stderr,
            )
            sys.exit(3)


class Table:
    """A table that is printed row by row, with columns as wide as their headings."""

    def __init__(self, *headings: str) -> None:
        self.widths = [max(len(heading), 9) for heading in headings]
        self.row(*headings)

    def row(self, *cells: object) -> None:
        """Print one row."""
        padded = (str(cell).rjust(width) for cell, width in zip(cells, self.widths, strict=True))
        print("  ".join(padded), flush=True)
