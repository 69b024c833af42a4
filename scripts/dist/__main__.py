"""Pack the programs for users without a compiler: `just dist`.

    artifacts/dist/vgg-VERSION-TARGET.tar.gz       bin/, man pages, completions, README.md and licences
    artifacts/dist/vgg_extract-VERSION-….whl       and vgg_head, vgg_classify: pip puts the program on the path

The programs are linked by Zig against the C library of glibc 2.17 (2014), so that they run on any x86-64
Linux that is newer. The man pages and completions are made by the programs themselves, from the same flags.
Each file is smaller than 40 MB, and what was packed runs the demo's pipeline in an empty virtual environment and
in an empty root (see `trial.py`), or the command fails.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from . import trial

ROOT = Path(__file__).resolve().parent.parent.parent
OUT = ROOT / "artifacts" / "dist"
VENV = OUT / "venv" / "bin"
TARGET = "x86_64-unknown-linux-gnu"
GLIBC = "2.17"
# The name of the same floor among the platforms of wheels.
PLATFORM = "manylinux2014"
PROFILE = "dist"
PROGRAMS = {"vgg-extract": "extract", "vgg-head": "head", "vgg-classify": "classify"}
LARGEST = 40_000_000
"""Bytes that a file may have."""


def run(*command: object, **environment: str) -> None:
    """Run a command with Zig and Maturin on the path."""
    words = [str(word) for word in command]
    path = f"{VENV}{os.pathsep}{os.environ['PATH']}"
    target = str(OUT / "target")
    changed = {"PATH": path, "CARGO_TARGET_DIR": target, "CARGO_INCREMENTAL": "0", **environment}
    print("dist:", " ".join(words), file=sys.stderr, flush=True)
    if subprocess.run(words, cwd=ROOT, env=os.environ | changed).returncode != 0:
        sys.exit(f"dist: {words[0]} {words[1]} failed")


def version() -> str:
    """The version of the workspace."""
    lines = (ROOT / "Cargo.toml").read_text().splitlines()
    return next(line.split('"')[1] for line in lines if line.startswith("version = "))


def build() -> Path:
    """Build the programs; the folder in which they are."""
    bins = [word for name in PROGRAMS for word in ("--bin", name)]
    target = f"{TARGET}.{GLIBC}"
    run("cargo", "zigbuild", "--locked", "--workspace", "--profile", PROFILE, *bins, "--target", target)
    return OUT / "target" / TARGET / PROFILE


def pack(built: Path) -> Path:
    """Make the archive. It has no times and no owners, so that equal programs make equal archives."""
    documents = OUT / "documents"
    shutil.rmtree(documents, ignore_errors=True)
    for name in PROGRAMS:
        run(built / name, "documents", documents)
    files = {f"bin/{name}": built / name for name in PROGRAMS}
    files |= {f"share/man/man1/{it.name}": it for it in sorted((documents / "man").iterdir())}
    files |= {
        f"share/completions/{it.name}": it for it in sorted((documents / "completions").iterdir())
    }
    files |= {
        name: ROOT / name for name in ("README.md", "GUIDE.md", "LICENSE-APACHE", "LICENSE-MIT")
    }
    folder = f"vgg-{version()}-{TARGET}"
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, path in files.items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            content = path.read_bytes()
            entry.size = len(content)
            entry.mode = 0o755 if name.startswith("bin/") else 0o644
            archive.addfile(entry, io.BytesIO(content))
    packed = OUT / f"{folder}.tar.gz"
    packed.write_bytes(gzip.compress(plain.getvalue(), mtime=0))
    return packed


def wheels() -> list[Path]:
    """Make a wheel of each program."""
    for old in OUT.glob("*.whl"):
        old.unlink()
    for crate in PROGRAMS.values():
        manifest = ROOT / "crates" / crate / "Cargo.toml"
        run(
            VENV / "maturin", "build", "--locked", "--zig", "--profile", PROFILE, "--target", TARGET,
            "--compatibility", PLATFORM, "--manifest-path", manifest, "--out", OUT,
        )  # fmt: skip
    return sorted(OUT.glob("*.whl"))


def main() -> None:
    """Pack the programs, try them, and print the files."""
    packed = pack(build())
    made = wheels()
    for path in [packed, *made]:
        size = path.stat().st_size
        if size > LARGEST:
            sys.exit(f"dist: {path} has {size} bytes; expected at most {LARGEST}")
    trial.in_virtual_environment(made)
    trial.in_empty_root(packed)
    for path in [packed, *made]:
        print(path.relative_to(ROOT), f"{path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
