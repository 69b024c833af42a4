"""What each ingredient of the recipe brings: `bench/run.py ingredients`.

Each line of the table changes one thing of a base setting: the size of the images, the taps, the
dropout, the width, the number of distorted copies, pseudo-labels, copies at test time. Heads are
compared by the mean accuracy of their seeds on the validation split, which chooses; the test split is
looked at once, for the best line. `--dataset mnist` takes all of MNIST, `--dataset cells` the
photographs of solar cells of `just setup cells`, with the cells of a module in one split.

Results: a table and `artifacts/bench/ingredients-DATASET.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import NamedTuple

from engines import BENCH, MNIST, ROOT, WEIGHTS, Table, build, require_inputs, write_json
from program import run

CELLS = ROOT / "data" / "solar-cells" / "labels.csv"


class Line(NamedTuple):
    """A line of the table: flags of `vgg-extract run` and of `vgg-head sweep` that differ from the base."""

    name: str
    extraction: dict[str, str]
    training: dict[str, str]


class Study(NamedTuple):
    """A dataset with its base setting and what is changed."""

    dataset: Path
    extraction: dict[str, str]
    training: dict[str, str]
    lines: list[Line]


