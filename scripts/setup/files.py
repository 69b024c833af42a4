"""Files that are whole or absent, and messages about them.

A file or folder has a temporary name beside its target until it is complete. Then it is renamed. So
setup can be interrupted at any moment, even by SIGKILL, and run again.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

ROOT = Path(__file__).resolve().parent.parent.parent

TEMPORARY = ".setup-tmp-"
"""Prefix of every unfinished file or folder. Leftovers are removed at the start."""

CHUNK = 1 << 20


class SetupError(Exception):
    """Something outside of setup is missing or wrong; the text says what to do."""


def say(text: str) -> None:
    """Print a line of progress to standard error."""
    print(f"setup: {text}", file=sys.stderr, flush=True)


def megabytes(size: float) -> str:
    """Format a number of bytes in decimal megabytes, as package indexes do."""
    return f"{size / 1e6:.0f} MB" if size >= 1e7 else f"{size / 1e6:.1f} MB"


def shown(path: Path) -> str:
    """Format a path relative to the project's root if it lies inside it."""
    try:
        return str(path.relative_to(ROOT))
    except ValueError:
        return str(path)


class Progress:
    """Progress in percent: one line on a terminal, otherwise a line for each quarter."""

    def __init__(self, label: str, total: int) -> None:
        self.label = label
        self.total = max(total, 1)
        self.started = time.monotonic()
        self.printed = self.started
        self.quarter = 0
        self.terminal = sys.stderr.isatty()

    def update(self, done: int) -> None:
        """Report that `done` bytes of the total are there."""
        now = time.monotonic()
        percent = min(99, 100 * done // self.total)
        if self.terminal and now - self.printed > 0.1:
            line = f"setup: {self.label}: {percent} % of {megabytes(self.total)}"
            print(f"\r{line} ", end="", file=sys.stderr, flush=True)
            self.printed = now
        elif not self.terminal and percent // 25 > self.quarter and now - self.printed > 1:
            say(f"{self.label}: {percent} % of {megabytes(self.total)}")
            self.quarter = percent // 25
            self.printed = now

    def finish(self) -> None:
        """Report that all of it is there, and the time it took."""
        start = "\r\033[K" if self.terminal else ""
        print(start, end="", file=sys.stderr)
        seconds = time.monotonic() - self.started
        say(f"{self.label}: {megabytes(self.total)} in {seconds:.1f} s")


def sha256(path: Path) -> str:
    """Digest a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def copy(source: BinaryIO, target: Path, progress: Callable[[int], None] = lambda _: None) -> str:
    """Write a stream to `target` and return its digest; call `progress` with each chunk's size."""
    digest = hashlib.sha256()
    with target.open("wb") as file:
        while chunk := source.read(CHUNK):
            file.write(chunk)
            digest.update(chunk)
            progress(len(chunk))
    return digest.hexdigest()


def remove(path: Path) -> None:
    """Remove a file or a folder with what is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def replace_folder(new: Path, target: Path) -> None:
    """Rename `new` to `target`, a folder that may exist.

    A folder cannot be renamed over another that is not empty, so there are two renames. Between
    them there is no target; after an interruption there, the next run makes it again.
    """
    old = target.with_name(f"{TEMPORARY}old-{target.name}")
    if target.exists() or target.is_symlink():
        target.rename(old)
    new.rename(target)
    if old.exists() or old.is_symlink():
        remove(old)


def make_temporary(target: Path, folder: bool = False) -> Path:
    """Return a temporary name beside `target`, and create missing parent folders."""
    temporary = target.with_name(f"{TEMPORARY}{target.name}")
    (temporary if folder else temporary.parent).mkdir(parents=True, exist_ok=True)
    return temporary


def remove_unfinished() -> list[Path]:
    """Remove all files with temporary names, which nobody else uses while setup's lock is held."""
    folders = ["artifacts", "artifacts/downloads", "artifacts/weights", "data", "data/mnist"]
    paths = [path for folder in folders for path in (ROOT / folder).glob(f"{TEMPORARY}*")]
    for path in paths:
        remove(path)
    return paths


def require_space(where: Path, size: int) -> None:
    """Refuse to start a step for which the disk has too little space."""
    where.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(where).free
    if free < size:
        raise SetupError(
            f"{shown(where)}: {megabytes(free)} free on this disk, {megabytes(size)} needed\n"
            "  free some space, or make this folder a link to a larger disk, and run setup again"
        )
