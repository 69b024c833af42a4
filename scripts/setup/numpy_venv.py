"""A virtual environment in `artifacts/venv/` for the tests: NumPy, SciPy, ONNX and ONNX Runtime, from PyPI."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import Optional

from .download import run_client
from .files import SetupError, make_temporary, replace_folder, shown
from .step import Step

PACKAGES = {
    "numpy": "2.4.6",
    "scipy": "1.17.1",
    "onnx": "1.23.2",
    "onnxruntime": "1.32.0",
    "pillow": "13.0.0",
    # What onnx imports.
    "ml_dtypes": "0.6.0",
    "protobuf": "7.36.2",
    "typing_extensions": "4.16.0",
}
# The packages drop old versions of Python quickly. These are the newest releases for old versions.
FOR_PYTHON = {
    (3, 9): {
        "numpy": "2.0.2", "scipy": "1.13.1", "onnx": "1.19.1", "onnxruntime": "1.19.2",
        "pillow": "11.3.0", "ml_dtypes": "0.5.4", "protobuf": "6.33.6",
    },
    (3, 10): {
        "numpy": "2.2.6", "scipy": "1.15.3", "onnxruntime": "1.23.2", "pillow": "12.3.0",
    },
}  # fmt: skip
WANTED = PACKAGES | FOR_PYTHON.get(sys.version_info[:2], {})
REQUIREMENTS = [f"{name}=={version}" for name, version in WANTED.items()]
FOUND = f"""
from importlib.metadata import version
import numpy, scipy, onnx, onnxruntime, PIL
print("\\n".join(f"{{name}}=={{version(name)}}" for name in {list(WANTED)}))
"""


class NumpyVenv(Step):
    """A virtual environment with NumPy, SciPy, ONNX and ONNX Runtime."""

    name = "numpy"
    title = "Python with NumPy, SciPy and ONNX Runtime"
    where = "artifacts/venv"
    tool = "pip"
    space = 500_000_000
    by_hand = (
        f"'python3 -m venv artifacts/venv', with {', '.join(list(WANTED)[:5])} in it; only the tests "
        "need it, and 'vgg-classify export' to compare ONNX models"
    )

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
            said = result.stderr.strip().splitlines()[-1:] or ["it says nothing"]
            return f"the packages cannot be imported ({said[0]})"
        found = result.stdout.split()
        others = [package for package in found if package not in REQUIREMENTS]
        return f"{', '.join(others)} instead of the wanted versions" if others else None

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
        arguments += ["--target", str(packages), *REQUIREMENTS]
        stage = make_temporary(self.target.with_name("venv-stage"), folder=True)
        run_client("pip", arguments, stage, f"installing {self.title}", 290_000_000)
        shutil.rmtree(stage)
        replace_folder(new, self.target)
