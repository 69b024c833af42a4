"""Chromium, in which the page is tested: the system's own, or else Debian's package."""

from __future__ import annotations

import os
import shutil
from typing import Optional

from . import files
from .download import run_client
from .files import make_temporary
from .step import Step

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_browser() -> Optional[str]:
    """The browser that the environment variable CHROMIUM or the PATH names, or None."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Browser(Step):
    """Chromium."""

    name = "browser"
    title = "Chromium"
    where = "/usr/bin/chromium"
    tool = "apt-get"
    space = 400_000_000
    by_hand = (
        "install Chromium or Chrome and have it on the PATH, or name it in the environment "
        "variable CHROMIUM; only the tests need it"
    )

    def provided(self) -> Optional[str]:
        browser = find_browser()
        return browser and f"{browser} is used"

    def wrong(self) -> Optional[str]:
        return "not there"

    def install(self) -> None:
        stage = make_temporary(files.ROOT / "artifacts" / "browser-stage", folder=True)
        run_client("apt-get", ["update"], stage, "reading Debian's list of packages", 1)
        # The fonts are those in which the page is seen.
        arguments = ["install", "--yes", "--no-install-recommends", "chromium", "fonts-dejavu-core"]
        run_client("apt-get", arguments, stage, "installing Chromium", 1)
        shutil.rmtree(stage)
