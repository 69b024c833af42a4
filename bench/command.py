"""Whole commands compared with the bare loop over the same convolutions.

`vgg-extract run` is timed as a process, from its start to its end: reading and hashing the data,
transforming the weights, decoding, resizing, the forward pass, hashing and writing; once more with
five distorted copies of each training image (`views`), where a copy counts as an image. So is
`vgg-classify run` over a folder of PGM files. A command's rate is compared with that of the bare
loop just before and just after it. At the end of each size, `vgg-classify run` is timed on a single
image.
"""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
from engines import (
    BENCH,
    MNIST,
    WEIGHTS,
    Engine,
    Table,
    build,
    rounded,
    write_json,
)
from program import Ended, run

# The number of images, by size and command: extraction by a backend, or classification. A run takes
# about half a minute on two cores, so that the work that is done once per run has its usual share.
IMAGES = {
    48: {"torch": 3900, "winograd": 15000, "classify": 15000},
    96: {"torch": 1050, "winograd": 4200, "views": 4200, "classify": 4200},
    224: {"torch": 180, "winograd": 750, "classify": 750},
}
COPIES = 5
# Images for each one that --limit allows in a split.
SPLITS = {"torch": 3, "winograd": 3, "views": 3 + COPIES}
# Digits of each split that the head is trained on, whose accuracy does not matter here.
HEAD_DIGITS = 60
THREADS = 2
BARE_SECONDS = 4.0


def run_command(executable: Path, size: int, command: str, images: int) -> tuple[float, float]:
    """Run `vgg-extract run` once; return its seconds and its peak resident memory in MiB."""
    out = BENCH / "tmp" / "features"
    shutil.rmtree(out, ignore_errors=True)
    options = {
        "--dataset": MNIST,
        "--weights": WEIGHTS,
        "--size": size,
        "--limit": images // SPLITS[command],
        "--backend": "torch" if command == "torch" else "winograd",
        "--threads": THREADS,
        "--out": out,
    }
    if command == "views":
        options |= {"--views": COPIES, "--augment": "digits"}
    ended = run(executable, "run", *(word for pair in options.items() for word in pair))
    shutil.rmtree(out)
    return ended.seconds, ended.peak_mib


class Classify:
    """`vgg-classify run` with a head for images of a size."""

    def __init__(self, size: int) -> None:
        self.executable = build("--bin", "vgg-classify")
        folder = BENCH / "tmp" / "classify"
        shutil.rmtree(folder, ignore_errors=True)
        self.images = folder / "images"
        self.images.mkdir(parents=True)
        words = ["--dataset", MNIST, "--weights", WEIGHTS, "--size", size, "--limit", HEAD_DIGITS]
        extracted = run(build("--bin", "vgg-extract"), "run", *words, "--out", folder / "features")
        words = ["--features", extracted.output.strip(), "--out", folder / "runs", "--json"]
        self.run = json.loads(run(build("--bin", "vgg-head"), "train", *words).output)["run"]

    def __call__(self, *images: Path) -> Ended:
        words = ["--run", self.run, "--weights", WEIGHTS, "--threads", THREADS, "--format", "csv"]
        return run(self.executable, "run", *words, *images)

    def folder(self, count: int) -> Path:
        """A folder with the first of MNIST's training digits as PGM files."""
        pixels = np.fromfile(MNIST / "train-images-idx3-ubyte", np.uint8, offset=16)
        for index, digit in enumerate(pixels.reshape(-1, 28, 28)[:count]):
            (self.images / f"{index}.pgm").write_bytes(b"P5 28 28 255\n" + digit.tobytes())
        return self.images


def time_single(size: int, rounds: int) -> float:
    """The median of the seconds that classifying a single image takes, from start to end."""
    classify = Classify(size)
    image = classify.folder(1) / "0.pgm"
    return statistics.median(classify(image).seconds for _ in range(rounds))


def bench(
    sizes: list[int],
    rounds: int,
    start_bare: Callable[[str, int], Engine],
) -> None:
    """Measure the commands at every size.

    `start_bare(backend, size)` starts the bare loop that a command is compared with.
    """
    # The program with libtorch is kept apart, since it has the name of the one without.
    with_torch = build("--bin", "vgg-extract", "--features", "torch")
    executable = BENCH / "tmp" / with_torch.name
    shutil.copy2(with_torch, executable)
    table = Table(
        *("size", "command", "images", "seconds", "images/s", "bare", "ratio", "lowest"),
        *("highest", "peak MiB"),
    )
    results = []
    for size in sizes:
        for command, images in IMAGES[size].items():
            if command == "classify":
                classify = Classify(size)
                folder = classify.folder(images)
            backend = "torch" if command == "torch" else "winograd"
            engine = start_bare(backend, size)
            times, rates, shares, peaks = [], [], [], []
            bare = [engine.measure(BARE_SECONDS)]
            for _ in range(rounds):
                if command == "classify":
                    _, elapsed, peak = classify(folder)
                else:
                    elapsed, peak = run_command(executable, size, command, images)
                bare.append(engine.measure(BARE_SECONDS))
                times.append(elapsed)
                rates.append(images / elapsed)
                shares.append(rates[-1] / statistics.mean(bare[-2:]))
                peaks.append(peak)
            engine.close()
            result = {
                "size": size,
                "command": command,
                "images": images,
                "threads": THREADS,
                "seconds": rounded(statistics.median(times)),
                "images_per_s": rounded(statistics.median(rates)),
                "bare_images_per_s": rounded(statistics.median(bare)),
                "ratio": rounded(statistics.median(shares)),
                "ratio_lowest": rounded(min(shares)),
                "ratio_highest": rounded(max(shares)),
                "rounds": rounds,
                "peak_mib": round(max(peaks)),
            }
            results.append(result)
            table.row(
                *(size, command, images, f"{result['seconds']:.1f}"),
                *(f"{result[key]:.1f}" for key in ("images_per_s", "bare_images_per_s")),
                *(f"{result[key]:.3f}" for key in ("ratio", "ratio_lowest", "ratio_highest")),
                result["peak_mib"],
            )
            write_json(BENCH / "command.json", results)
        print(f"a single image at {size} px: {time_single(size, rounds):.2f} s", flush=True)
