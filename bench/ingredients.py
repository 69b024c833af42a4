"""What each ingredient of the recipe brings: `bench/run.py ingredients`.

Each line of the table changes one thing of a base setting: the size of the images, the taps, the
dropout, the architecture, the width, the number of distorted copies, pseudo-labels. A line is a
sweep over three seeds, compared by the mean accuracy on the validation split. The last line
combines several ingredients, as `STUDIES` says; of it alone the accuracy on the test split is
printed: of its heads, of their ensemble, and with copies of the test images. `--dataset mnist`
takes MNIST: 24,000 of the training images, a third of them for validation, and all of them in the
last line. `--dataset cells` takes the photographs of solar cells of `just setup cells`, with
neighbouring cells in one split.

Results: a table and `artifacts/bench/ingredients-DATASET.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import NamedTuple

from engines import BENCH, MNIST, ROOT, WEIGHTS, Table, build, require_inputs, write_json
from program import run

CELLS = ROOT / "data" / "solar-cells" / "labels.csv"
Flags = dict[str, object]


class Line(NamedTuple):
    """A line of the table: flags of `vgg-extract run` and of `vgg-head sweep` beside the base's."""

    name: str
    extraction: Flags = {}
    training: Flags = {}


class Study(NamedTuple):
    """A dataset with its base setting, what is changed, and a setting that combines ingredients."""

    extraction: Flags
    training: Flags
    lines: tuple[Line, ...]
    combined: Line
    tta: int


HEAD: Flags = {"arch": "fastai", "p": 0.5, "epochs": 10, "schedule": "cosine"}


def views(*counts: int, augment: str) -> tuple[Line, ...]:
    """Lines with these numbers of distorted copies."""
    return tuple(Line(f"{k} copies", {"views": k, "augment": augment}) for k in counts)


STUDIES = {
    "mnist": Study(
        {"dataset": MNIST, "size": 64, "layout": "csr", "dtype": "f16"}
        | {"limit": 24_000, "val-fraction": "1/3"},
        HEAD,
        (
            Line("base"),
            Line("48 px", {"size": 48}),
            Line("96 px", {"size": 96}),
            Line("tap conv3_3", {"taps": "conv3_3"}),
            Line("tap conv4_3", {"taps": "conv4_3"}),
            Line(
                "taps conv4_3 and conv5_3", {"taps": "conv4_3,conv5_3"}, {"tap": "conv4_3,conv5_3"}
            ),
            Line("p = 0.2", {}, {"p": 0.2}),
            Line("p = 0.8", {}, {"p": 0.8}),
            Line("512 wide", {}, {"hidden": 512}),
            Line("fastai-da", {}, {"arch": "fastai-da"}),
            Line("linear", {}, {"arch": "linear", "p": 0}),
            *views(1, 2, 5, 10, augment="digits"),
        ),
        Line(
            "combined",
            {"limit": None, "val-fraction": None}
            | {"taps": "conv4_3", "views": 5, "augment": "digits", "test-views": 5},
        ),
        5,
    ),
    "cells": Study(
        {"dataset": CELLS, "columns": "group=group", "size": 224, "test-fraction": 0.2}
        | {"val-fraction": 0.2},
        HEAD | {"epochs": 20},
        (
            Line("base"),
            Line("96 px", {"size": 96}),
            Line("128 px", {"size": 128}),
            Line("tap conv4_3", {"taps": "conv4_3"}),
            Line("tap conv5_3:avg", {"taps": "conv5_3:avg"}),
            Line("p = 0", {}, {"p": 0}),
            Line("p = 0.8", {}, {"p": 0.8}),
            Line("balanced classes", {}, {"class-weight": "balanced"}),
            Line("linear", {}, {"arch": "linear", "p": 0}),
            *views(1, 2, 5, 10, augment="photos"),
        ),
        Line("combined", {"views": 5, "augment": "photos", "test-views": 5}, {"p": 0.8}),
        5,
    ),
}


PSEUDO = Line("pseudo-labels of the test images", {}, {"pseudo": "base"})


def words(flags: Flags) -> list[str]:
    """Flags as words of a command line, without those that are None."""
    return [f"--{name}={value}" for name, value in flags.items() if value is not None]


class Programs:
    """The two programs, and the folders that they write to."""

    def __init__(self, limit: int | None) -> None:
        self.extractor, self.trainer = build("--bin", "vgg-extract"), build("--bin", "vgg-head")
        self.limit: Flags = {"limit": limit} if limit else {}

    def extract(self, flags: Flags) -> Path:
        """The cache with these features; rows that another cache has are taken over."""
        print(f"bench: vgg-extract run {' '.join(words(flags))}", file=sys.stderr)
        flags = {"weights": WEIGHTS} | flags | self.limit
        return ROOT / run(self.extractor, "run", *words(flags)).output.splitlines()[-1]

    def head(self, command: str, *flags: str) -> dict:
        """The JSON that a command of `vgg-head` prints."""
        return json.loads(run(self.trainer, command, *flags, "--json").output)

    def sweep(self, cache: Path, flags: Flags) -> dict:
        """Train the heads of three seeds."""
        out = f"--out={BENCH / 'tmp' / 'ingredients'}"
        return self.head("sweep", f"--features={cache}", "--seeds=3", *words(flags), out)


def percent(spread: dict) -> str:
    """A mean with its standard deviation over the seeds."""
    return f"{100 * spread['mean']:.2f} ± {100 * spread['sd']:.2f} %"


def main() -> None:
    """Parse the command line, train all lines and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", choices=STUDIES, required=True)
    parser.add_argument("--limit", type=int, help="only so many images of each split")
    parser.add_argument("--line", action="append", help="only the lines with these names")
    options = parser.parse_args()
    require_inputs(WEIGHTS)
    study = STUDIES[options.dataset]
    programs = Programs(options.limit)
    widest = max(len(line.name) for line in (*study.lines, PSEUDO, study.combined))
    table = Table("ingredient".rjust(widest), "val top-1", "± sd over seeds")
    results = []
    base = ""
    for line in (*study.lines, PSEUDO, study.combined):
        if options.line and line.name not in options.line:
            continue
        if line is PSEUDO and not base:
            sys.exit("error: pseudo-labels are those of the base; name it, too: --line base")
        extraction = study.extraction | line.extraction
        training = study.training | line.training
        if training.get("pseudo") == "base":
            training["pseudo"] = base
        swept = programs.sweep(programs.extract(extraction), training)
        if line.name == "base":
            base = swept["sweep"]
        val = swept["summary"]["val"]
        table.row(line.name, f"{100 * val['mean']:.2f} %", f"{100 * val['sd']:.2f} %")
        results.append({"line": line.name, "val": val, "flags": words(extraction | training)})
        if line is study.combined:
            report_test(programs, swept, study.tta, results[-1])
        write_json(BENCH / f"ingredients-{options.dataset}.json", results)


def report_test(programs: Programs, swept: dict, tta: int, result: dict) -> None:
    """Print the one look at the test split."""
    flags = [f"--sweep={swept['sweep']}"]
    result["test"] = swept["summary"]["test"]
    result["ensemble"] = programs.head("evaluate", *flags)["top1"]
    result["tta"] = programs.head("evaluate", *flags, f"--tta={tta}")["top1"]
    print(f"test: {percent(result['test'])} over the seeds", end="")
    print(f", {100 * result['ensemble']:.2f} % of their ensemble", end="")
    print(f", {100 * result['tta']:.2f} % with {tta} copies of each image")


if __name__ == "__main__":
    main()
