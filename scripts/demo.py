#!/usr/bin/env python3
"""The whole pipeline on a few thousand digits, which `just demo` runs after the set-up.

Like a script of yours, it uses only the public commands. It extracts the features once, trains a
head for each dropout rate, chooses one by its validation accuracy, makes a Kaggle submission with
it, and classifies a few test digits as images.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

DIGITS = 3000
SIZE = 64
DROPOUTS = [0.8, 0.5, 0.2]
EPOCHS = 10

# Test digits that are classified as images, and the side of each.
IMAGES = [0, 1, 2, 3, 7]
SIDE = 28


def run(program: str, command: str, *flags: str) -> str:
    """Run one of the programs and return its output; end with its exit code if it fails."""
    words = [str(ROOT / "scripts/run"), program, command, *flags]
    result = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if result.returncode != 0:
        sys.exit(result.returncode)
    return result.stdout


def say(text: str) -> None:
    """Report the current step on standard error."""
    print(f"\ndemo: {text}", file=sys.stderr, flush=True)


def write_images(folder: Path) -> list[Path]:
    """Write some of MNIST's test digits as PNG files, named after their labels."""
    mnist = ROOT / "data/mnist"
    pixels = (mnist / "t10k-images-idx3-ubyte").read_bytes()
    labels = (mnist / "t10k-labels-idx1-ubyte").read_bytes()
    paths = []
    for index in IMAGES:
        start = 16 + index * SIDE * SIDE
        path = folder / f"digit-{index}-is-{labels[8 + index]}.png"
        path.write_bytes(png(pixels[start : start + SIDE * SIDE]))
        paths.append(path)
    return paths


def png(pixels: bytes) -> bytes:
    """Encode a gray square image as a PNG file."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)
    # Each row begins with the number of its filter, 0 for none.
    rows = b"".join(b"\0" + pixels[row * SIDE : (row + 1) * SIDE] for row in range(SIDE))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def main() -> None:
    """Run the pipeline and print the table."""
    say(f"extracting {DIGITS} digits each for train, val and test at {SIZE} px, once")
    flags = [f"--size={SIZE}", f"--limit={DIGITS}", "--json"]
    extraction = json.loads(run("vgg-extract", "run", *flags))
    features = extraction["features"]

    say(f"training {len(DROPOUTS)} heads on the cached features")
    rows = []
    for p in DROPOUTS:
        flags = [f"--features={features}", f"--p={p}", f"--epochs={EPOCHS}", "--schedule=cosine"]
        trained = json.loads(run("vgg-head", "train", *flags, "--json"))
        evaluated = json.loads(run("vgg-head", "evaluate", f"--run={trained['run']}", "--json"))
        summary = trained["summary"]
        rows.append((p, summary["seconds_an_epoch"], summary["last"], evaluated, trained["run"]))

    best = max(rows, key=lambda row: row[2]["val_top1"])
    submission = run("vgg-head", "predict", f"--run={best[4]}").strip()

    rate = extraction["images_per_s"]
    speed = f"{rate:.1f} images/s" if rate else "cached by an earlier run"
    shown = Path(features)
    print(f"\nfeatures    {shown}  ({3 * DIGITS} images at {SIZE} px, {speed})\n")
    print("  p   s/epoch   val top-1   test top-1   run")
    print("─" * 78)
    for p, seconds, last, evaluated, folder in rows:
        val, test = 100 * last["val_top1"], 100 * evaluated["top1"]
        mark = " ← best on val" if folder == best[4] else ""
        print(f"{p:4.1f}  {seconds:7.2f}  {val:8.2f} %  {test:9.2f} %   {folder}{mark}")
    print(f"\nsubmission  {submission}")

    say(f"classifying {len(IMAGES)} test digits as images")
    run_folder = Path(best[4])
    images = [str(path) for path in write_images(run_folder)]
    print("\n" + run("vgg-classify", "run", f"--run={run_folder}", *images), end="")
    print(f"\nThe page, to draw digits and to drop images: just serve run={run_folder}")


if __name__ == "__main__":
    main()
