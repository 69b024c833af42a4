#!/usr/bin/env python3
"""Measure how well wrong labels are found, and what finding them is worth.

    scripts/label_errors.py --features artifacts/features/mnist-96px-… --fraction 0.03

Some of the training labels, chosen at random by a seed, are replaced by another class, also at
random. That takes no extraction: the wrong labels are given as corrections. Then heads are cross-
validated with them, and the list of issues is compared with what was done. At last a head is
trained on the right labels, on the wrong ones, on the wrong ones without the images that the list
calls label errors, and on those with the suggested labels; each is evaluated on the test split,
with several seeds. These heads have no dropout unless --head-p says otherwise, since with much of
it a head hardly suffers from a few wrong labels. It uses only `vgg-head` and the JSON that it
prints.
"""

from __future__ import annotations

import argparse
import array
import csv
import functools
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def head(program: list[str], command: str, *flags: str) -> dict:
    """Run `vgg-head` and return the JSON it prints; end with its exit code if it fails."""
    words = [*program, command, "--json", *flags]
    # Standard error is not redirected, so progress and messages are shown while it runs.
    result = subprocess.run(words, stdout=subprocess.PIPE, text=True)
    if result.returncode != 0:
        sys.exit(result.returncode)
    return json.loads(result.stdout)


def labels_of(cache: Path) -> dict[str, int]:
    """The label of each training image, by its id."""
    manifest = json.loads((cache / "manifest.json").read_text("utf-8"))
    split = manifest["splits"]["train"]
    content = (cache / split["labels"]["file"]).read_bytes()
    numbers = array.array("q", content[10 + int.from_bytes(content[8:10], "little") :])
    if sys.byteorder == "big":
        numbers.byteswap()
    ids = (cache / split["ids"]["file"]).read_text("utf-8").split("\n")[:-1]
    # Where there are distorted copies, they repeat the ids and the labels.
    return dict(zip(ids, numbers))


def write_corrections(path: Path, actions: dict[str, tuple[str, str]]) -> Path:
    """Write a file of corrections: for each id an action and a label."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["id", "action", "label"])
        table.writerows([sample, *action] for sample, action in actions.items())
    return path


def main() -> None:
    """Make labels wrong, look for them, and train with what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--features", type=Path, required=True, help="the cache")
    parser.add_argument(
        "--fraction", type=float, default=0.03, help="part of the labels made wrong"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice")
    parser.add_argument("--folds", default="5", help="number of folds")
    parser.add_argument("--epochs", default="10", help="passes over the training rows")
    parser.add_argument("--p", default="0.5", help="dropout rate of the cross-validated heads")
    parser.add_argument("--head-p", default="0", help="dropout rate of the heads that are compared")
    parser.add_argument("--seeds", type=int, default=3, help="heads that are compared on test")
    parser.add_argument("--out", type=Path, default=ROOT / "artifacts" / "label-errors")
    parser.add_argument("--program", help="vgg-head [default: the one that scripts/run builds]")
    options = parser.parse_args()
    built = [str(ROOT / "scripts" / "run"), "vgg-head"]
    vgg_head = functools.partial(head, [options.program] if options.program else built)

    manifest = json.loads((options.features / "manifest.json").read_text("utf-8"))
    names = manifest["class_names"]
    labels = labels_of(options.features)
    draw = random.Random(options.seed)
    count = round(options.fraction * len(labels))
    if count == 0:
        parser.error(f"--fraction={options.fraction}: of {len(labels)} labels none becomes wrong")
    wrong = {}
    for sample in draw.sample(sorted(labels), count):
        others = [name for name in names if name != names[labels[sample]]]
        wrong[sample] = ("label", draw.choice(others))
    flipped = write_corrections(options.out / "wrong.csv", wrong)

    common = [f"--features={options.features}", f"--epochs={options.epochs}"]
    with_wrong = f"--corrections={flipped}"
    started = time.monotonic()
    out = f"--out={options.out / 'cv'}"
    flags = [f"--folds={options.folds}", f"--p={options.p}", with_wrong, out]
    found = vgg_head("cv", *common, *flags)
    cv_seconds = time.monotonic() - started
    started = time.monotonic()
    issues = vgg_head("issues", f"--cv={found['cv']}")
    issues_seconds = time.monotonic() - started
    with open(issues["table"], encoding="utf-8", newline="") as file:
        listed = list(csv.DictReader(file))

    images = len(listed)
    first = {row["id"] for row in listed[: images // 20]}
    called = {row["id"]: row["suggested"] for row in listed if row["label_issue"] == "true"}
    hits = len(wrong.keys() & called.keys())
    named = sum(names[labels[sample]] == called.get(sample) for sample in wrong)
    print(f"training images            {images}, of which {len(wrong)} have a wrong label")
    print(
        f"cross-validation           {cv_seconds:.1f} s, out-of-fold top-1 of the given labels "
        f"{100 * found['summary']['oof_top1']:.2f} %"
    )
    print(f"issues                     {issues_seconds:.1f} s")
    early = 100 * len(wrong.keys() & first) / len(wrong)
    print(f"in the first 5 % of list   {early:.2f} % of the wrong labels")
    print(
        f"called label errors        {len(called)}: {100 * hits / len(wrong):.2f} % of the wrong "
        f"labels, {100 * hits / max(len(called), 1):.2f} % of them are wrong"
    )
    print(f"right class suggested      {100 * named / len(wrong):.2f} % of the wrong labels")

    dropped = {**wrong, **{sample: ("drop", "") for sample in called}}
    renamed = {**wrong, **{sample: ("label", name) for sample, name in called.items()}}
    variants = {
        "right labels": [],
        "wrong labels": [with_wrong],
        "without label errors": [
            f"--corrections={write_corrections(options.out / 'dropped.csv', dropped)}"
        ],
        "with suggested labels": [
            f"--corrections={write_corrections(options.out / 'renamed.csv', renamed)}"
        ],
    }
    runs = f"--out={options.out / 'runs'}"
    means = {}
    for variant, flags in variants.items():
        top1 = []
        for seed in range(options.seeds):
            flags_of_head = [f"--p={options.head_p}", f"--seed={seed}", runs]
            run = vgg_head("train", *common, *flags, *flags_of_head)["run"]
            top1.append(100 * vgg_head("evaluate", f"--run={run}")["top1"])
        means[variant] = statistics.mean(top1)
        spread = f" ± {statistics.stdev(top1):.2f}" if len(top1) > 1 else ""
        print(f"test top-1, {variant:23} {means[variant]:.2f}{spread} %")
    lost = means["right labels"] - means["wrong labels"]
    if lost <= 0:
        print("regained: the wrong labels cost nothing")
        return
    for variant in ("without label errors", "with suggested labels"):
        regained = means[variant] - means["wrong labels"]
        print(f"regained {variant:26} {100 * regained / lost:.0f} % of {lost:.2f} %")


if __name__ == "__main__":
    main()
