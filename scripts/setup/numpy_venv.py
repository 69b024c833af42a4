"""A virtual environment in `artifacts/venv/` for the tests, from PyPI.

It has NumPy, SciPy, ONNX and ONNX Runtime, and the tools for which features are exported.
"""

from __future__ import annotations

import sys

from .venv_step import VenvStep

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


class NumpyVenv(VenvStep):
    """A virtual environment with NumPy, SciPy, ONNX Runtime, pandas, scikit-learn and cleanlab."""

    name = "numpy"
    title = "Python with NumPy, SciPy, ONNX Runtime and pandas"
    where = "artifacts/venv"
    space = 1_000_000_000
    by_hand = (
        f"'python3 -m venv artifacts/venv', with {', '.join(list(WANTED)[:5])} in it; only the tests "
        "need it, and 'vgg-classify export' to compare ONNX models"
    )
    packages = WANTED
    modules = "numpy, scipy, onnx, onnxruntime, PIL"
    download = 560_000_000
