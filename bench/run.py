#!/usr/bin/env python3
"""Run the benchmarks against the peers: the script of `just bench`.

    bench/run.py                 everything
    bench/run.py extract         the 13 convolutions and the whole `vgg-extract run`
    bench/run.py head            training the head
    bench/run.py training        `vgg-head`: time to the first epoch, memory, streaming
    bench/run.py microkernel     the products' register blocks by themselves (not part of everything)
    bench/run.py photos          `vgg-extract run` on photographs (not part of everything)
    bench/run.py serve           `vgg-classify serve` under load (not part of everything)
    bench/run.py accuracy        the head's accuracy beside PyTorch's (not part of everything)
    bench/run.py few-shot        accuracy from 1 to 50 images per class (not part of everything)
    bench/run.py ingredients     what sizes, taps, copies … bring (not part of everything)

First the peers are installed into `artifacts/bench/venv`, from bench/requirements.txt. That takes
some minutes and 7 GB the first time. Further options are passed on to the benchmark:
`bench/run.py extract --sizes 48 --rounds 9`, `bench/run.py extract --help`.

This script uses only the standard library. Exit codes: 0 done, 2 wrong usage, 3 something outside
is missing.
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
    "microkernel": ["microkernel.py"],
    "photos": ["photos.py"],
    "serve": ["serving.py"],
    "accuracy": ["accuracy_parity.py"],
    "few-shot": ["few_shot.py"],
    "ingredients": ["ingredients.py"],
    "all": ["extract.py", "head.py", "training.py"],
}


def pins(path: Path) -> list[str]:
    """The lines of a requirements file that are not comments; an empty list if there is no file."""
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
            "error: pip is missing; it is needed to install the peers\n"
            "  install it (Debian: apt install python3-pip) and try again",
            file=sys.stderr,
        )
        sys.exit(3)
    print(f"bench: installing the peers into {VENV.relative_to(ROOT)}", file=sys.stderr)
    # The environment has no pip of its own, for which Debian's Python would need python3-venv.
    venv.EnvBuilder(symlinks=True, with_pip=False, clear=True).create(VENV)
    command = [pip, "--python", str(PYTHON), "install", "--disable-pip-version-check", "--quiet"]
    result = subprocess.run([*command, "--requirement", str(REQUIREMENTS)])
    if result.returncode != 0:
        print(
            f"error: pip could not install {REQUIREMENTS.relative_to(ROOT)} (see above)\n"
            "  check that there are pip 22.3 or newer, Python 3.11 to 3.13, a network and 7 GB of "
            "free space, and run it again",
            file=sys.stderr,
        )
        sys.exit(3)
    # The stamp is written last, so that an interrupted installation starts anew.
    shutil.copy(REQUIREMENTS, stamp)


def main() -> int:
    """Run the benchmarks named on the command line and return the exit code."""
    which, *options = sys.argv[1:] or ["all"]
    if which in ("-h", "--help"):
        print(__doc__)
        return 0
    if which.startswith("-"):
        which, options = "all", sys.argv[1:]
    if which not in BENCHMARKS:
        names = ", ".join(BENCHMARKS)
        print(f"error: there is no benchmark {which!r}; expected {names}", file=sys.stderr)
        return 2
    make_venv()
    for script in BENCHMARKS[which]:
        result = subprocess.run([PYTHON, HERE / script, *options])
        if result.returncode != 0:
            return result.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
