"""The trait of everything that setup installs: one class for each, in a file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from . import files


class Step:
    """One thing to install: whether it is right, what installing needs, and how it is done."""

    name = ""
    title = ""
    where = ""
    """The file or folder that it installs, relative to the project's root."""
    tool: Optional[str] = None
    """The package client that fetches it."""
    space = 0
    """Bytes that must be free on the disk."""
    by_hand = ""
    """A way out where the package client cannot be had."""

    @property
    def target(self) -> Path:
        """The file or folder that it installs."""
        return files.ROOT / self.where

    def provided(self) -> Optional[str]:
        """Say what of the user's own is used instead, or None."""
        return None

    def wrong(self) -> Optional[str]:
        """Say what is missing or wrong about what is installed, or None."""
        raise NotImplementedError

    def install(self) -> None:
        """Install it, replacing what is there."""
        raise NotImplementedError
