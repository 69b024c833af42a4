"""A virtual environment in `artifacts/dist/venv/` with what packs the programs, from PyPI."""

from __future__ import annotations

from .venv_step import VenvStep


class DistVenv(VenvStep):
    """Zig, with which programs are linked to run on old systems, and Maturin, which makes wheels."""

    name = "dist"
    title = "Zig, cargo-zigbuild and Maturin"
    where = "artifacts/dist/venv"
    space = 600_000_000
    by_hand = (
        "'python3 -m venv artifacts/dist/venv', with ziglang, cargo-zigbuild and maturin in it; only "
        "'just dist' needs it"
    )
    packages = {"cargo-zigbuild": "0.24.1", "maturin": "1.16.0", "ziglang": "0.17.1"}
    modules = "maturin, ziglang"
    download = 120_000_000
