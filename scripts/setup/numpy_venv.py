"""A virtual environment in `artifacts/venv/` for the tests, from PyPI: NumPy, SciPy, ONNX, ONNX Runtime, and
what the features are exported to."""

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
    # For these features are exported.
    "cleanlab": "2.9.0",
    "pandas": "3.1.1",
    "pyarrow": "26.0.1",
    "safetensors": "0.8.0",
    "scikit-learn": "1.9.1",
    # What onnx imports.
    "ml_dtypes": "0.6.0",
    "protobuf": "7.36.2",
    "typing_extensions": "4.16.0",
    # What pandas, scikit-learn and cleanlab import.
    "cloudpickle": "3.1.3",
    "joblib": "1.6.0",
    "narwhals": "2.29.0",
    "python-dateutil": "4.0.0",
    "termcolor": "3.3.0",
    "threadpoolctl": "3.8.0",
    "tqdm": "4.70.1",
    "tzdata": "2026.6",
}
# The packages drop old versions of Python quickly. These are the newest releases for old versions.
FOR_PYTHON = {
    (3, 9): {
        "numpy": "2.0.2", "scipy": "1.13.1", "onnx": "1.19.1", "onnxruntime": "1.19.2",
        "pillow": "11.3.0", "ml_dtypes": "0.5.4", "protobuf": "6.33.6", "cleanlab": "2.6.5",
        "pandas": "2.3.3", "pyarrow": "21.0.0", "safetensors": "0.7.0", "scikit-learn": "1.6.1",
        "cloudpickle": "3.1.2", "joblib": "1.5.3", "narwhals": "2.12.0", "termcolor": "3.1.0",
        "threadpoolctl": "3.7.0", "python-dateutil": "3.0.0", "six": "1.17.0", "pytz": "2026.6",
    },
    (3, 10): {
        "numpy": "2.2.6", "scipy": "1.15.3", "onnxruntime": "1.23.2", "pillow": "12.3.0",
        "pandas": "2.3.3", "pyarrow": "25.0.1", "scikit-learn": "1.7.2",
        "python-dateutil": "3.0.0", "six": "1.17.0", "pytz": "2026.6",
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
    """A virtual environment with NumPy, SciPy, ONNX Runtime, pandas, scikit-learn and cleanlab."""

    name = "numpy"
    title = "Python with NumPy, SciPy, ONNX Runtime and pandas"
    where = "artifacts/venv"
    tool = "pip"
    space = 1_000_000_000
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
        run_client("pip", arguments, stage, f"installing {self.title}", 560_000_000)
        shutil.rmtree(stage)
        replace_folder(new, self.target)
