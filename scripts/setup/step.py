"""The base class of the steps of setup. Each step is a class in a file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from . import files


class Step:
    """One thing to install: how it is checked, what it needs, and how it is installed."""

    name = ""
    title = ""
    where = ""
    """The file or folder that it installs, relative to the project's root."""
    tool: Optional[str] = None
    """The package client that fetches it."""
    space = 0
    """Bytes that must be free on the disk."""
    by_hand = ""
    """Advice for users who cannot get the package client."""

    @property
    def target(self) -> Path:
        """The file or folder that it installs."""
        return files.ROOT / self.where

    def provided(self) -> Optional[str]:
        """Return a message that names the user's own copy that is used instead, or None."""
        return None

    def wrong(self) -> Optional[str]:
        """Return a message that says what is missing or wrong, or None."""
        raise NotImplementedError

    def install(self) -> None:
        """Install it, and replace an earlier one."""
        raise NotImplementedError
