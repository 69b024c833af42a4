"""libtorch, unpacked from the PyPI wheels.

Its CPU part goes into `artifacts/libtorch/`, or all of it, with NVIDIA's libraries, into
`artifacts/libtorch-cuda/`. Only programs that are built with the cargo feature `torch` need one of
them. A libtorch that the environment variable `LIBTORCH` names is used instead.
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

# The libraries that libtorch_cuda.so is linked with or loads.
CUDA_LIBRARIES = (
    CUDA_RUNTIME,
    CUDA_CUPTI,
    Wheel(
        "nvidia-cublas==13.1.1.3",
        "nvidia_cublas-13.1.1.3-py3-none-manylinux_2_27_x86_64.whl",
        "37936a16db8fe4ac1f065c2139360608a543a09275cb1a1af612e08cfa065436",
        423_138_758,
        "manylinux_2_27_x86_64",
    ),
    Wheel(
        "nvidia-cuda-nvrtc==13.0.88",
        "nvidia_cuda_nvrtc-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
        "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575",
        90_215_200,
        "manylinux_2_12_x86_64",
    ),
    Wheel(
        "nvidia-cudnn-cu13==9.20.0.48",
        "nvidia_cudnn_cu13-9.20.0.48-py3-none-manylinux_2_27_x86_64.whl",
        "0c45dd8eeb50b603f07995b1b300c62ffe6a1980482b82b3bcf94a4ca9d49304",
        366_173_588,
        "manylinux_2_27_x86_64",
    ),
    Wheel(
        "nvidia-cufft==12.0.0.61",
        "nvidia_cufft-12.0.0.61-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        "6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3",
        214_085_489,
        "manylinux_2_17_x86_64",
    ),
    Wheel(
        "nvidia-cufile==1.15.1.6",
        "nvidia_cufile-1.15.1.6-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        "08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44",
        1_223_672,
        "manylinux_2_17_x86_64",
    ),
    Wheel(
        "nvidia-curand==10.4.0.35",
        "nvidia_curand-10.4.0.35-py3-none-manylinux_2_27_x86_64.whl",
        "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc",
        59_544_258,
        "manylinux_2_27_x86_64",
    ),
    Wheel(
        "nvidia-cusolver==12.0.4.66",
        "nvidia_cusolver-12.0.4.66-py3-none-manylinux_2_27_x86_64.whl",
        "0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112",
        200_941_980,
        "manylinux_2_27_x86_64",
    ),
    Wheel(
        "nvidia-cusparse==12.6.3.3",
        "nvidia_cusparse-12.6.3.3-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        "2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b",
        145_942_937,
        "manylinux_2_17_x86_64",
    ),
    Wheel(
        "nvidia-cusparselt-cu13==0.8.1",
        "nvidia_cusparselt_cu13-0.8.1-py3-none-manylinux2014_x86_64.whl",
        "786ce87568c303fadb5afcc7102d454cd3040d75f6f8626f5db460d1871f4dd0",
        170_148_586,
        "manylinux2014_x86_64",
    ),
    Wheel(
        "nvidia-nccl-cu13==2.29.7",
        "nvidia_nccl_cu13-2.29.7-py3-none-manylinux_2_18_x86_64.whl",
        "edd81538446786ec3b73972543e53bb43bcaf0bfc8ef76cb679fcc390ffe136d",
        205_976_000,
        "manylinux_2_18_x86_64",
    ),
    Wheel(
        "nvidia-nvjitlink==13.5.37",
        "nvidia_nvjitlink-13.5.37-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
        "280d7cb9649704145f074b8dbde500de04ce02d0872e066e20a83c17bcaa93eb",
        46_642_491,
        "manylinux_2_12_x86_64",
    ),
    Wheel(
        "nvidia-nvshmem-cu13==3.4.5",
        "nvidia_nvshmem_cu13-3.4.5-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        "290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80",
        60_412_546,
        "manylinux_2_17_x86_64",
    ),
    Wheel(
        "nvidia-nvtx==13.0.85",
        "nvidia_nvtx-13.0.85-py3-none-manylinux1_x86_64.manylinux_2_5_x86_64.whl",
        "4936d1d6780fbe68db454f5e72a42ff64d1fd6397df9f363ae786930fd5c1cd4",
        148_047,
        "manylinux_2_5_x86_64",
    ),
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
# The libraries are in one folder, where they find one another, since their rpaths include their own
# folder.
CUDA_PARTS = (
    Part(TORCH, "torch/lib/", "lib/"),
    Part(TORCH, "torch/include/", "include/"),
    *(
        Part(wheel, f"nvidia/{folder}/lib/", "lib/")
        for wheel in CUDA_LIBRARIES
        for folder in ("cu13", "cudnn", "cusparselt", "nccl", "nvshmem")
    ),
)
TEXTS = {
    # A linker script, with which `-ltorch` links the CPU library only.
    "lib/libtorch.so": "INPUT(libtorch_cpu.so)\n",
    # The build script of the crate torch-sys reads this and refuses other versions.
    "build-version": f"{VERSION}\n",
}
CUDA_TEXTS = {"build-version": TEXTS["build-version"]}
SUMS = "SHA256SUMS"
SUMS_SHA256 = "f4816b3689730a75e1574a05f796f8e14ea091e614bd9a5852bddeb095fc1ad5"
"""Digest of `artifacts/libtorch/SHA256SUMS`, which lists the digests of all other files there."""
CUDA_SUMS_SHA256 = "19ab466bdedf2e8cc68ccb481e021328faf822d26d7c09abcdd6006dd32c16e4"
"""Digest of `artifacts/libtorch-cuda/SHA256SUMS`."""


class Libtorch(Step):
    """libtorch for the CPU."""

    name = "torch"
    title = f"libtorch {VERSION}"
    where = "artifacts/libtorch"
    tool = "pip"
    space = 1_150_000_000
    by_hand = f"set LIBTORCH to the folder of a libtorch {VERSION} of your own"

    def parts(self) -> tuple[Part, ...]:
        """The parts of wheels that it consists of."""
        return PARTS

    def texts(self) -> dict[str, str]:
        """Its files that do not come from a wheel."""
        return TEXTS

    def sums(self) -> str:
        """The digest of its list of digests."""
        return SUMS_SHA256

    def provided(self) -> Optional[str]:
        own = own_libtorch()
        return f"using yours, LIBTORCH={own}" if own else None

    def wrong(self) -> Optional[str]:
        sums = self.target / SUMS
        if not sums.exists():
            return "not there" if not self.target.exists() else f"{shown(sums)} is missing"
        if sha256(sums) != self.sums():
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
            wheel: fetch_wheel(wheel)
            for wheel in dict.fromkeys(part.wheel for part in self.parts())
        }
        new = make_temporary(self.target, folder=True)
        digests = {}
        for name, text in self.texts().items():
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            digests[name] = sha256(path)
        for wheel, archive in wheels.items():
            parts = [part for part in self.parts() if part.wheel == wheel]
            digests.update(unpack(archive, parts, new))
        lines = [f"{digests[name]}  {name}\n" for name in sorted(digests)]
        (new / SUMS).write_text("".join(lines))
        found = sha256(new / SUMS)
        if found != self.sums():
            raise SetupError(
                f"{shown(new / SUMS)}: SHA-256 is {found}, expected {self.sums()}: the wheels are "
                "right, but the unpacked files are not\n"
                "  run setup again; if it stays like this, check the disk and the memory"
            )
        replace_folder(new, self.target)
        for archive in wheels.values():
            archive.unlink()


class LibtorchCuda(Libtorch):
    """libtorch with the libraries that it needs for NVIDIA cards, except the driver."""

    name = "cuda"
    title = f"libtorch {VERSION} for CUDA 13"
    where = "artifacts/libtorch-cuda"
    space = 8_000_000_000
    by_hand = (
        f"install a libtorch {VERSION} that was built for your CUDA (https://pytorch.org) and set "
        "LIBTORCH to its folder, the one with lib/ and include/ in it"
    )

    def parts(self) -> tuple[Part, ...]:
        return CUDA_PARTS

    def texts(self) -> dict[str, str]:
        return CUDA_TEXTS

    def sums(self) -> str:
        return CUDA_SUMS_SHA256

    def provided(self) -> Optional[str]:
        own = own_libtorch()
        if own and not (own / "lib" / "libtorch_cuda.so").exists():
            raise SetupError(
                f"{self.title}: LIBTORCH is {own}, which has no lib/libtorch_cuda.so\n"
                f"  {self.by_hand}, or unset it to have one installed"
            )
        return f"using yours, LIBTORCH={own}" if own else None


def own_libtorch() -> Optional[Path]:
    """The libtorch that the user's LIBTORCH names, or None if setup made that one."""
    value = os.environ.get("LIBTORCH")
    if not value:
        return None
    path = Path(value)
    # A relative path begins at the project's root, where cargo runs.
    path = files.ROOT / path
    if path in (files.ROOT / Libtorch.where, files.ROOT / LibtorchCuda.where):
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
