"""A virtual environment in `artifacts/page-venv/`, for the tests of the server and of its page.

It has tritonclient, which speaks the Open Inference Protocol, and Playwright, which moves a browser.
"""

from __future__ import annotations

import sys

from .files import SetupError
from .venv_step import VenvStep

PACKAGES = {
    "playwright": "1.65.2",
    "tritonclient": "2.73.0",
    # What these import.
    "brotli": "1.2.1",
    "certifi": "2026.10.19.post1",
    "gevent": "26.9.0",
    "geventhttpclient": "2.6.1",
    "greenlet": "3.3.2",
    "ml-dtypes": "0.5.4",
    "numpy": "2.4.6",
    "pyee": "13.0.0",
    "python-rapidjson": "1.25",
    "typing-extensions": "4.16.0",
    "urllib3": "2.8.0",
    "zope.event": "6.2",
    "zope.interface": "8.7",
}
OLDEST = (3, 11)


class PageVenv(VenvStep):
    """A virtual environment with tritonclient and Playwright."""

    name = "page"
    title = "Python with tritonclient and Playwright"
    where = "artifacts/page-venv"
    space = 500_000_000
    by_hand = f"'python3 -m venv {where}', with these packages in it; only the tests need it"
    packages = PACKAGES
    modules = "playwright.sync_api, tritonclient.http"
    download = 85_000_000

    def install(self) -> None:
        if sys.version_info < OLDEST:
            raise SetupError(
                f"{self.title}: this Python is {sys.version.split()[0]}, and the packages need 3.11 "
                "or newer\n  run setup by a newer one (pyenv, or Debian: apt install python3)"
            )
        super().install()
