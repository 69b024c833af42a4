#!/usr/bin/env python3
"""Tests of `run`: cargo and the program are small scripts."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
import unittest
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent

# Prints what cargo prints: a line for each crate if there is work to do, and always the last line.
FAKE_CARGO = """#!/bin/sh
echo "cargo $*" >> {root}/calls
[ -z "$WORK" ] || echo '   Compiling winograd v0.1.0' >&2
[ -z "$FAIL" ] || { echo 'error: could not compile' >&2; exit 101; }
echo '    Finished `dev` profile [optimized] target(s) in 0.12s' >&2
"""

FAKE_PROGRAM = """#!/bin/sh
for word in "$@"; do echo "<$word>"; done
echo 'progress' >&2
exit 3
"""

FAKE_SETUP = """
import sys
from pathlib import Path

with Path("{root}/calls").open("a") as calls:
    calls.write("setup " + " ".join(sys.argv[1:]) + "\\n")
"""


class RunTest(unittest.TestCase):
    """Tests of what the recipes rely on."""

    def setUp(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="run-test-"))
        self.addCleanup(shutil.rmtree, self.root)
        self.write("bin/cargo", FAKE_CARGO)
        self.write("target/debug/vgg-extract", FAKE_PROGRAM)
        self.write("scripts/setup/__main__.py", FAKE_SETUP)
        self.write("scripts/run", (SCRIPTS / "run").read_text())

    def write(self, name: str, text: str) -> None:
        """Write an executable script."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{root}", str(self.root)))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run_script(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run `scripts/run vgg-extract WORDS`."""
        environment = dict(os.environ, PATH=f"{self.root}/bin:{os.environ['PATH']}", **variables)
        for name in {"LIBTORCH", "CARGO_TARGET_DIR"} - set(variables):
            environment.pop(name, None)
        command = [str(self.root / "scripts/run"), "vgg-extract", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    def calls(self) -> list[str]:
        """The calls so far."""
        return (self.root / "calls").read_text().splitlines()

    def test_makes_flags_of_key_value(self) -> None:
        result = self.run_script("run", "size=64", "--json", "--out=a=b", "a file", "P=1", "x=y z")
        words = ["run", "--size=64", "--json", "--out=a=b", "a file", "P=1", "--x=y z"]
        self.assertEqual(result.stdout.splitlines(), [f"<{word}>" for word in words])
        self.assertEqual(result.returncode, 3)
        self.assertEqual(self.calls(), ["cargo build --bin vgg-extract"])

    def test_keeps_the_names_of_files(self) -> None:
        self.write("my=weights.onnx", "")
        result = self.run_script("import-weights", "my=weights.onnx", "batch_size=3")
        words = ["import-weights", "my=weights.onnx", "--batch-size=3"]
        self.assertEqual(result.stdout.splitlines(), [f"<{word}>" for word in words])

    def test_finds_torch_and_cuda_in_flags_alone(self) -> None:
        self.run_script("run", "out=a --device cuda b", "cuda", "torch", "--backend", "winograd")
        self.assertEqual(self.calls(), ["cargo build --bin vgg-extract"])

    def test_asks_for_a_command(self) -> None:
        result = self.run_script()
        self.assertEqual(result.returncode, 2)
        self.assertIn("usage", result.stderr)

    def test_shows_what_is_compiled_and_nothing_else(self) -> None:
        self.assertEqual(self.run_script("run").stderr, "progress\n")
        compiled = self.run_script("run", WORK="1").stderr
        self.assertEqual(compiled, "   Compiling winograd v0.1.0\nprogress\n")

    def test_runs_nothing_that_did_not_compile(self) -> None:
        result = self.run_script("run", FAIL="1")
        self.assertEqual(result.returncode, 101)
        self.assertEqual(result.stdout, "")
        self.assertIn("could not compile", result.stderr)

    def test_finds_the_program_in_another_target_folder(self) -> None:
        other = self.root / "elsewhere"
        (self.root / "target").rename(other)
        result = self.run_script("run", CARGO_TARGET_DIR=str(other))
        self.assertEqual(result.stdout, "<run>\n")

    def test_builds_with_libtorch_where_it_is_asked_for(self) -> None:
        with_torch = "cargo build --bin vgg-extract --features torch"
        for words in (["backend=torch"], ["--backend=torch"], ["--backend", "torch"]):
            self.run_script("run", *words)
            self.assertEqual(self.calls()[-2:], ["setup --only torch", with_torch])
        for words in (["device=cuda"], ["--device", "cuda"], ["backend=torch", "device=cuda"]):
            self.run_script("run", *words)
            self.assertEqual(self.calls()[-2:], ["setup --only cuda", with_torch])
        made = self.root / "artifacts/libtorch-cuda/lib/libtorch_cuda.so"
        made.parent.mkdir(parents=True)
        made.touch()
        self.run_script("run", "device=cuda")
        self.assertEqual(self.calls()[-2:], [with_torch, with_torch])
        self.run_script("run", "device=cuda", LIBTORCH="/own")
        self.assertEqual(self.calls()[-2:], ["setup --only cuda", with_torch])
        self.run_script("run", "backend=torch", LIBTORCH="/own")
        self.assertEqual(self.calls()[-2:], [with_torch, with_torch])
        library = self.root / "artifacts/libtorch/lib/libtorch.so"
        library.parent.mkdir(parents=True)
        library.touch()
        self.run_script("run", "backend=torch")
        self.assertEqual(self.calls()[-2:], [with_torch, with_torch])
        self.run_script("run", "backend=winograd", "device=cpu")
        self.assertEqual(self.calls()[-1], "cargo build --bin vgg-extract")

    def test_compiles_nothing_before_libtorch_is_there(self) -> None:
        self.write("scripts/setup/__main__.py", "raise SystemExit(3)\n")
        result = self.run_script("run", "device=cuda")
        self.assertEqual(result.returncode, 3)
        self.assertFalse((self.root / "calls").exists())


if __name__ == "__main__":
    unittest.main()
