#!/usr/bin/env python3
"""Run the benchmarks against the peers: what `just bench` calls.

    bench/run.py                 everything
    bench/run.py extract         the 13 convolutions and the whole `vgg-extract run`
    bench/run.py head            training the head
    bench/run.py training        `vgg-head`: time to the first epoch, memory, streaming
    bench/run.py accuracy        the head's accuracy beside PyTorch's (not part of everything)

The peers are installed into `artifacts/bench/venv` first, from bench/requirements.txt; that
takes some minutes and 7 GB the first time. Further options go to the benchmark itself:
`bench/run.py extract --sizes 48 --rounds 9`, `bench/run.py extract --help`.

Only the standard library is used here. Exit codes: 0 done, 2 wrong usage, 3 something from
outside is missing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
VENV = ROOT / "artifacts" / "bench" / "venv"
PYTHON = VENV / "bin" / "python"
REQUIREMENTS = HERE / "requirements.txt"

BENCHMARKS = {
    "extract": ["extract.py"],
    "head": ["head.py"],
    "training": ["training.py"],
    "accuracy": ["accuracy_parity.py"],
    "all": ["extract.py", "head.py", "training.py"],
}


def pins(path: Path) -> list[str]:
    """The lines of a requirements file that are not comments; none where it is not there."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [line for line in lines if not line.startswith("#")]


def make_venv() -> None:
    """Install the peers, unless exactly these are installed already."""
    stamp = VENV / "requirements.txt"
    if pins(stamp) == pins(REQUIREMENTS) and PYTHON.exists():
        return
    pip = shutil.which("pip3") or shutil.which("pip")
    if pip is None:
        print(
            "error: pip is missing; it installs the peers that the benchmarks run beside\n"
            "  install it (Debian: apt install python3-pip) and try again",
            file=sys.stderr,
        )
        sys.exit(3)
    print(f"bench: installing the peers into {VENV.relative_to(ROOT)}", file=sys.stderr)
    # Without a pip of its own, which Debian's Python can make only with python3-venv.
    venv.EnvBuilder(symlinks=True, with_pip=False, clear=True).create(VENV)
    command = [pip, "--python", str(PYTHON), "install", "--disable-pip-version-check", "--quiet"]
    result = subprocess.run([*command, "--requirement", str(REQUIREMENTS)])
    if result.returncode != 0:
        print(
            f"error: pip could not install {REQUIREMENTS.relative_to(ROOT)} (see above); it wants "
            "pip 22.3, Python 3.11 to 3.13, the network and 7 GB of disk\n"
            "  put that right and run it again",
            file=sys.stderr,
        )
        sys.exit(3)
    # Written last: an interrupted installation is begun anew.
    shutil.copy(REQUIREMENTS, stamp)


def main() -> int:
    """Run the benchmarks that the command line names and return the exit code."""
    which, *options = sys.argv[1:] or ["all"]
    if which in ("-h", "--help"):
        print(__doc__)
        return 0
    if which.startswith("-"):
        which, options = "all", sys.argv[1:]
    if which not in BENCHMARKS:
        names = ", ".join(BENCHMARKS)
        print(f"error: no benchmark {which!r}; there are {names}", file=sys.stderr)
        return 2
    make_venv()
    for script in BENCHMARKS[which]:
        result = subprocess.run([PYTHON, HERE / script, *options])
        if result.returncode != 0:
            return result.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
