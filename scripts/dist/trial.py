"""The packed programs where nothing else is installed, on the digits and the weights of `just setup`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DIGITS = ROOT / "data" / "mnist"
WEIGHTS = ROOT / "artifacts" / "weights" / "vgg16-caffe.safetensors"
LIMIT = 600
"""Digits of each split."""
LEAST = 0.85
"""Accuracy on the test split that heads on so few digits reach with room to spare."""


def in_virtual_environment(wheels: list[Path]) -> None:
    """Install the wheels into an empty virtual environment and run the pipeline with its programs."""
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder) / "venv"
        venv.create(environment, with_pip=True)
        python = environment / "bin" / "python"
        install = [python, "-m", "pip", "install", "--quiet", "--no-index", *wheels]
        subprocess.run(install, check=True)
        programs = str(environment / "bin")

        def start(*words: str) -> str:
            command = [f"{programs}/{words[0]}", *words[1:]]
            return output(command, cwd=folder, env={"PATH": programs})

        pipeline(start, str(DIGITS), str(WEIGHTS))
    print("dist: the wheels run in an empty virtual environment", file=sys.stderr)


def in_empty_root(archive: Path) -> None:
    """Unpack the archive into a root that has nothing but the C library, and run the pipeline there."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with tarfile.open(archive) as packed:
            packed.extractall(root, filter="data")
        [unpacked] = root.iterdir()
        programs = unpacked / "bin"
        for library in libraries(programs / "vgg-extract"):
            inside = root / library.relative_to("/")
            inside.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, inside)
        (root / "tmp").mkdir()
        shutil.copytree(DIGITS, root / "digits")
        shutil.copy(WEIGHTS, root / WEIGHTS.name)
        enter = ["chroot"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "chroot"]

        def start(*words: str) -> str:
            inside = f"/{unpacked.name}/bin/{words[0]}"
            return output([*enter, str(root), inside, *words[1:]], cwd=folder, env=dict(os.environ))

        pipeline(start, "/digits", f"/{WEIGHTS.name}")
    print("dist: the archive runs in a root with the C library alone", file=sys.stderr)


def libraries(program: Path) -> set[Path]:
    """The files of the C library that a program loads."""
    listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    return {Path(path) for path in re.findall(r"(/\S+) \(0x", listed)}


def pipeline(start, digits: str, weights: str) -> None:
    """Extract features, train two heads, evaluate the better one, and classify an image file with it."""
    run = ["vgg-extract", "run", "--dataset", digits, "--weights", weights, "--size=32", "--json"]
    features = json.loads(start(*run, f"--limit={LIMIT}"))["features"]
    sweep = ["vgg-head", "sweep", "--features", features, "--p=0.2,0.5", "--epochs=6", "--json"]
    chosen = json.loads(start(*sweep))
    run = chosen["runs"][0]["run"] if "runs" in chosen else chosen["run"]
    accuracy = json.loads(start("vgg-head", "evaluate", "--run", run, "--json"))["top1"]
    if accuracy < LEAST:
        sys.exit(f"dist: a head reaches {accuracy} on test; expected {LEAST}")
    classify = ["vgg-classify", "run", digits, "--split=test", "--run", run, "--format=json"]
    lines = start(*classify, "--weights", weights).splitlines()
    if len(lines) != len((DIGITS / "t10k-labels-idx1-ubyte").read_bytes()) - 8:
        sys.exit(f"dist: {len(lines)} digits of the test split were classified")


def output(command: list[str], **how) -> str:
    """The standard output of a command, which must succeed."""
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, **how)
    if ended.returncode != 0:
        sys.exit(f"dist: {' '.join(command)} ended with {ended.returncode}")
    return ended.stdout
