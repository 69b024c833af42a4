"""A virtual environment with NumPy and SciPy, from PyPI, in `artifacts/venv/`, for the tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import Optional

from .download import run_client
from .files import SetupError, make_temporary, replace_folder, shown
from .step import Step

# NumPy and SciPy drop old versions of Python quickly. These are the newest releases for old versions.
FOR_PYTHON = {(3, 9): ("2.0.2", "1.13.1"), (3, 10): ("2.2.6", "1.15.3")}
NEWEST = ("2.4.6", "1.17.1")
NUMPY, SCIPY = FOR_PYTHON.get(sys.version_info[:2], NEWEST)
FOUND = "import numpy, scipy; print(f'NumPy {numpy.__version__}, SciPy {scipy.__version__}')"


class NumpyVenv(Step):
    """A virtual environment with NumPy and SciPy."""

    name = "numpy"
    title = "Python with NumPy and SciPy"
    where = "artifacts/venv"
    tool = "pip"
    space = 350_000_000
    by_hand = "'python3 -m venv artifacts/venv', with NumPy and SciPy in it; only the tests need it"

    def wrong(self) -> Optional[str]:
        python = self.target / "bin" / "python"
        if not python.exists():
            return "not there"
        command = [str(python), "-I", "-c", FOUND]
        try:
            result = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            return f"{shown(python)}: {error.strerror}"
        if result.returncode != 0:
            return "NumPy and SciPy cannot be imported"
        found = result.stdout.strip()
        wanted = f"NumPy {NUMPY}, SciPy {SCIPY}"
        return None if found == wanted else f"{found} instead of {wanted}"

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
        arguments += ["--target", str(packages), f"numpy=={NUMPY}", f"scipy=={SCIPY}"]
        stage = make_temporary(self.target.with_name("venv-stage"), folder=True)
        doing = f"installing NumPy {NUMPY} and SciPy {SCIPY}"
        run_client("pip", arguments, stage, doing, 160_000_000)
        shutil.rmtree(stage)
        replace_folder(new, self.target)
