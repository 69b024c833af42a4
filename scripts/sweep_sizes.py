#!/usr/bin/env python3
"""Compare input sizes and dropout rates; an example of a script on top of the public commands.

    scripts/sweep_sizes.py --sizes 48,64,96 --p 0,0.4,0.8 --seeds 3 --epochs 5 --limit 3000

For each size it extracts the features, unless an earlier call has done so, and sweeps over the
dropout rates. Then it prints the validation accuracy of every combination, and the accuracy on the
test split of the best one only. Copy it and change it: it uses only `vgg-extract run`, `vgg-head
sweep` and the JSON that they print.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(program: str, command: str, *flags: str) -> dict:
    """Run one of the programs and return the JSON it prints; end with its exit code if it fails."""
    words = [str(ROOT / "scripts" / "run"), program, command, "--json", *flags]
    # Standard error is not redirected, so progress and messages are shown while it runs.
    result = subprocess.run(words, stdout=subprocess.PIPE, text=True)
    if result.returncode != 0:
        sys.exit(result.returncode)
    return json.loads(result.stdout)


def main() -> None:
    """Extract and sweep for each size, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="48,64,96", help="sides in pixels, separated by commas")
    parser.add_argument("--p", default="0,0.2,0.4,0.6,0.8", help="dropout rates")
    parser.add_argument("--seeds", default="3", help="number of seeds, or a list of seeds")
    parser.add_argument("--epochs", default="5", help="passes over the training rows")
    parser.add_argument("--limit", default="3000", help="largest number of images of each split")
    parser.add_argument("--dataset", default="data/mnist", help="folder with the images")
    parser.add_argument("--out", type=Path, default=Path("artifacts"), help="folder of the results")
    options = parser.parse_args()

    # There is one cache and one sweep per size. A second call finds both again, finished or not.
    sweeps = {}
    for size in options.sizes.split(","):
        extraction = run(
            *("vgg-extract", "run", f"--dataset={options.dataset}", f"--size={size}"),
            *(f"--limit={options.limit}", f"--out={options.out / 'features'}"),
        )
        sweeps[size] = run(
            *("vgg-head", "sweep", f"--features={extraction['features']}", f"--p={options.p}"),
            *(f"--seeds={options.seeds}", f"--epochs={options.epochs}", "--schedule=cosine"),
            f"--out={options.out / 'sweeps'}",
        )

    # The results of a sweep have one row per head. The table has their mean over seeds, by size and
    # p.
    rates = options.p.split(",")
    print("  px  " + "".join(f"{'p ' + rate:>10}" for rate in rates))
    for size, sweep in sweeps.items():
        cells = []
        for rate in rates:
            heads = [row["val_top1"] for row in sweep["results"] if row["p"] == float(rate)]
            cells.append(f"{100 * sum(heads) / len(heads):8.2f} %")
        print(f"{size:>4}  " + "".join(cells))

    # Each sweep has chosen its p by validation; the sizes are compared in the same way.
    best = max(sweeps, key=lambda size: sweeps[size]["summary"]["val"]["mean"])
    summary = sweeps[best]["summary"]
    print(f"\nbest: {best} px, p {summary['setting']['p']}", end="")
    if summary["test"]:
        test = summary["test"]
        print(f"; test top-1 {100 * test['mean']:.2f} ± {100 * test['sd']:.2f} %", end="")
    print(f"\nreport: {sweeps[best]['report']}")


if __name__ == "__main__":
    main()
