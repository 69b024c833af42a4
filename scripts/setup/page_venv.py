"""A virtual environment in `artifacts/page-venv/`, for the tests of the server and of its page.

It has tritonclient, which speaks the Open Inference Protocol, and Playwright, which moves a browser.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from typing import Optional

from .download import run_client
from .files import SetupError, make_temporary, replace_folder, shown
from .step import Step

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
FOUND = f"""
from importlib.metadata import version
import playwright.sync_api, tritonclient.http
print(*(f"{{name}}=={{version(name)}}" for name in {list(PACKAGES)}))
"""


class PageVenv(Step):
    """A virtual environment with tritonclient and Playwright."""

    name = "page"
    title = "Python with tritonclient and Playwright"
    where = "artifacts/page-venv"
    tool = "pip"
    space = 500_000_000
    by_hand = f"'python3 -m venv {where}', with these packages in it; only the tests need it"

    def wrong(self) -> Optional[str]:
        python = self.target / "bin" / "python"
        if not python.exists():
            return "not there"
        try:
            command = [str(python), "-I", "-c", FOUND]
            result = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            return f"{shown(python)}: {error.strerror}"
        if result.returncode != 0:
            return "tritonclient and Playwright cannot be imported"
        wanted = " ".join(f"{name}=={version}" for name, version in PACKAGES.items())
        return None if result.stdout.strip() == wanted else "other versions than wanted"

    def install(self) -> None:
        if sys.version_info < OLDEST:
            raise SetupError(
                f"{self.title}: this Python is {sys.version.split()[0]}, and the packages need 3.11 "
                "or newer\n  run setup by a newer one (pyenv, or Debian: apt install python3)"
            )
        new = make_temporary(self.target, folder=True)

        class Builder(venv.EnvBuilder):
            """Omits the activation scripts, which would name the temporary folder."""

            def setup_scripts(self, context: object) -> None:
                pass

        # The environment has no pip of its own: Debian's Python has ensurepip only in another
        # package, and the installed pip can fill the folder.
        Builder(symlinks=True, with_pip=False).create(new)
        version = "{}.{}".format(*sys.version_info)
        packages = new / "lib" / f"python{version}" / "site-packages"
        arguments = ["install", "--quiet", "--no-deps", "--disable-pip-version-check"]
        arguments += ["--only-binary=:all:", "--python-version", version]
        arguments += ["--target", str(packages)]
        arguments += [f"{name}=={version}" for name, version in PACKAGES.items()]
        stage = make_temporary(self.target.with_name("page-venv-stage"), folder=True)
        run_client("pip", arguments, stage, "installing tritonclient and Playwright", 85_000_000)
        shutil.rmtree(stage)
        replace_folder(new, self.target)
