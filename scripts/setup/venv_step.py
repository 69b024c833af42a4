"""A virtual environment with packages from PyPI of fixed versions, as a step of the set-up."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import Optional

from .download import run_client
from .files import SetupError, make_temporary, replace_folder, shown
from .step import Step


class VenvStep(Step):
    """A virtual environment. It has all packages that are imported in it, and no others."""

    tool = "pip"
    packages: dict[str, str] = {}
    """The version of each package."""
    modules = ""
    """Modules that can be imported if the packages are whole, separated by commas."""
    download = 0
    """About the number of bytes that are fetched."""

    def wrong(self) -> Optional[str]:
        python = self.target / "bin" / "python"
        if not python.exists():
            return "not there"
        script = (
            "from importlib.metadata import version\n"
            f"import {self.modules}\n"
            f"print('\\n'.join(f'{{name}}=={{version(name)}}' for name in {list(self.packages)}))"
        )
        try:
            command = [str(python), "-I", "-c", script]
            result = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            return f"{shown(python)}: {error.strerror}"
        if result.returncode != 0:
            said = result.stderr.strip().splitlines()[-1:] or ["it says nothing"]
            return f"the packages cannot be imported ({said[0]})"
        others = [package for package in result.stdout.split() if package not in self.requirements]
        return f"{', '.join(others)} instead of the wanted versions" if others else None

    @property
    def requirements(self) -> list[str]:
        """The packages as pip takes them."""
        return [f"{name}=={version}" for name, version in self.packages.items()]

    def install(self) -> None:
        try:
            import venv
        except ImportError as error:
            raise SetupError(
                "Python's venv module is missing\n  install it (Debian: apt install python3-venv)"
            ) from error

        class Builder(venv.EnvBuilder):
            """Omits the activation scripts, which would name the temporary folder."""

            def setup_scripts(self, context: object) -> None:
                pass

        new = make_temporary(self.target, folder=True)
        # The environment has no pip of its own: Debian's Python has ensurepip only in another
        # package, and the installed pip can fill the folder.
        Builder(symlinks=True, with_pip=False).create(new)
        version = "{}.{}".format(*sys.version_info)
        packages = new / "lib" / f"python{version}" / "site-packages"
        arguments = ["install", "--quiet", "--no-deps", "--disable-pip-version-check"]
        arguments += ["--only-binary=:all:", "--python-version", version]
        arguments += ["--target", str(packages), *self.requirements]
        stage = make_temporary(self.target.with_name(f"{self.target.name}-stage"), folder=True)
        run_client("pip", arguments, stage, f"installing {self.title}", self.download)
        shutil.rmtree(stage)
        replace_folder(new, self.target)
