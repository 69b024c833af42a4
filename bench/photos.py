"""Photographs beside PyTorch: `bench/run.py photos`.

Two sets of JPEGs are made once, into `artifacts/bench/photos`: `small`, 4,000 of 500x375 pixels,
and `large`, 400 of 4000x3000. They are cut out of the photographs that scikit-image ships, brought
to their size and compressed at usual qualities; the large ones get the noise of a camera's sensor.

Whole commands are timed, from start to end: `vgg-extract run` with `--decode=full` and with
`--decode=fast`; the same with the images already decoded and resized, as PPM files; and PyTorch's
pipeline (peer_photos.py): torchvision's ImageFolder, decoder and transforms in a DataLoader with a
worker per core, channels-last tensors, inference mode. A ratio is the median over the rounds. The
features of both programs are compared, and those of the two decodings as well.

With `--heads`, heads are compared instead, which are trained on features of either decoding: on
digits of MNIST, enlarged to 448x448 pixels with a sensor's noise and compressed as JPEG.
With `--pngs`, whole commands on MNIST's 60,000 training digits as PNG files are compared with the
same on MNIST's own files, whose pixels need no decoding: a ratio of 1 means that the network is
never waited for.

Results: a table, and `artifacts/bench/photos.json`, `photos-heads.json` or `photos-pngs.json`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import os
import shutil
import statistics
import sys
from pathlib import Path

import numpy as np
from engines import (
    BENCH,
    MNIST,
    ONNX,
    WEIGHTS,
    Table,
    build,
    python,
    require_inputs,
    rounded,
    write_json,
)
from PIL import Image
from program import Ended, run

PHOTOS = BENCH / "photos"
DIGITS = BENCH / "photos" / "digits"
# Number of images, width and height.
SETS = {"small": (4000, 500, 375), "large": (400, 4000, 3000)}
SOURCES = (
    *("astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "ihc.png"),
    *("motorcycle_left.png", "retina.jpg", "rocket.jpg"),
)
QUALITIES = (75, 85, 90, 95)
NOISE = 3.0
SIZES = (96, 224)
# Largest mean difference of the features of both programs, as a share of their mean. PyTorch rounds
# resized pixels to whole levels.
AGREEMENT = 0.02


def make_photo(job: tuple[str, int, Path]) -> None:
    """Make one photograph of a set, always the same one for its number."""
    name, number, path = job
    _, width, height = SETS[name]
    random = np.random.default_rng([number, width])
    package = importlib.util.find_spec("skimage")
    assert package and package.submodule_search_locations
    source = Path(package.submodule_search_locations[0]) / "data" / SOURCES[number % len(SOURCES)]
    with Image.open(source) as image:
        image = image.convert("RGB")
    largest = min(image.width, image.height * width / height)
    across = largest * random.uniform(0.5, 1.0)
    down = across * height / width
    left = random.uniform(0, image.width - across)
    top = random.uniform(0, image.height - down)
    box = (left, top, left + across, top + down)
    photo = image.resize((width, height), Image.Resampling.BICUBIC, box)
    if name == "large":
        noise = random.normal(0, NOISE, (height, width, 1)).astype(np.float32)
        photo = Image.fromarray((np.asarray(photo) + noise).clip(0, 255).astype(np.uint8))
    quality = int(random.choice(QUALITIES))
    # Written under another name first, so that an interruption leaves no half file.
    temporary = path.with_suffix(".tmp")
    photo.save(temporary, "JPEG", quality=quality, optimize=True)
    temporary.replace(path)


def make_set(name: str, count: int) -> Path:
    """A folder with the first `count` photographs of a set, those that are missing made now."""
    files = [f"class-{number % 2}/{number:04}.jpg" for number in range(count)]
    kept = PHOTOS / name
    for number in range(2):
        (kept / f"class-{number}").mkdir(parents=True, exist_ok=True)
    missing = [
        (name, number, kept / file)
        for number, file in enumerate(files)
        if not (kept / file).exists()
    ]
    if missing:
        print(f"bench: making {len(missing)} photographs ({name})", file=sys.stderr)
        with multiprocessing.Pool() as pool:
            pool.map(make_photo, missing, chunksize=4)
    folder = BENCH / "tmp" / f"photos-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).hardlink_to(kept / file)
    return folder


def decoded_set(photos: Path, size: int) -> Path:
    """The same images, decoded and resized."""
    folder = photos.with_name(f"{photos.name}-{size}")
    shutil.rmtree(folder, ignore_errors=True)
    for path in sorted(photos.rglob("*.jpg")):
        to = folder / path.parent.name / f"{path.stem}.ppm"
        to.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            image.draft("RGB", (2 * size, 2 * size))
            image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR).save(to)
    return folder


def extract(executable: Path, photos: Path, size: int, threads: int, *more: str) -> Ended:
    """Run `vgg-extract run` once; the cache stays until the next run."""
    out = BENCH / "tmp" / "features"
    shutil.rmtree(out, ignore_errors=True)
    words = ["--dataset", photos, "--weights", WEIGHTS, "--size", size, "--threads", threads]
    return run(executable, "run", *words, "--val-fraction", 0, "--out", out, *more)


def features_folder(ended: Ended) -> Path:
    """The cache that a command wrote."""
    return Path(ended.output.split()[-1])


def keep_features(ended: Ended, path: Path) -> None:
    """Copy the features that a command wrote, [N, 512, H/16, W/16]."""
    shutil.copyfile(features_folder(ended) / "train" / "features.npy", path)


def difference(first: Path, second: Path) -> float:
    """The mean difference of two files of features, as a share of the mean of the first.

    They are read in blocks: the memory of this process would be counted as that of its children.
    """
    a, b = (np.load(path, mmap_mode="r") for path in (first, second))
    if a.shape != b.shape:
        sys.exit(f"error: features have the shapes {a.shape} and {b.shape}")
    blocks = [slice(row, row + 64) for row in range(0, len(a), 64)]
    distance = sum(float(np.abs(a[rows] - b[rows]).sum(dtype=np.float64)) for rows in blocks)
    return distance / sum(float(a[rows].sum(dtype=np.float64)) for rows in blocks)


def compare(executable: Path, photos: Path, size: int, options: argparse.Namespace) -> dict:
    """Measure all competitors on one set at one size."""
    decoded = decoded_set(photos, size)
    features = BENCH / "tmp" / "photos.npy"
    words = {"--photos": photos, "--size": size, "--threads": options.threads, "--onnx": ONNX}
    words["--features"] = features
    peer = python("peer_photos.py", *(word for pair in words.items() for word in pair))

    def ours(decode: str) -> Ended:
        return extract(executable, photos, size, options.threads, f"--decode={decode}")

    commands = {
        "full": lambda: ours("full"),
        "fast": lambda: ours("fast"),
        "decoded": lambda: extract(executable, decoded, size, options.threads),
        "pytorch": lambda: run(Path(peer[0]), *peer[1:]),
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    peak = dict.fromkeys(commands, 0.0)
    kept = {name: BENCH / "tmp" / f"photos-{name}.npy" for name in ("full", "fast")}
    for number in range(options.rounds):
        turn = list(commands) if number % 2 == 0 else list(reversed(commands))
        for name in turn:
            ended = commands[name]()
            if number == 0 and name in kept:
                keep_features(ended, kept[name])
            seconds[name].append(ended.seconds)
            peak[name] = max(peak[name], ended.peak_mib)
    to_pytorch, to_fast = difference(kept["full"], features), difference(*kept.values())
    if to_pytorch > AGREEMENT:
        sys.exit(f"error: features differ from PyTorch's by {to_pytorch:.3f}")
    count = len(np.load(features, mmap_mode="r"))
    rates = {name: [count / each for each in runs] for name, runs in seconds.items()}
    shutil.rmtree(decoded)
    for path in (features, *kept.values()):
        path.unlink()
    against = {
        f"{name}_to_{other}": rounded(
            statistics.median(a / b for a, b in zip(rates[name], rates[other], strict=True))
        )
        for name in ("full", "fast")
        for other in ("pytorch", "decoded")
    }
    median = {name: rounded(statistics.median(values)) for name, values in rates.items()}
    return {
        "size": size,
        "images": count,
        "threads": options.threads,
        "images_per_s": median,
        **against,
        "difference_to_pytorch": rounded(to_pytorch),
        "difference_of_fast": rounded(to_fast),
        "rounds": options.rounds,
        "peak_mib": {name: round(value) for name, value in peak.items()},
    }


def make_digits(split: str, prefix: str, count: int) -> None:
    """Write the first digits of a split as JPEGs, in a folder for each class."""
    images = np.fromfile(MNIST / f"{prefix}-images-idx3-ubyte", np.uint8)[16:].reshape(-1, 28, 28)
    labels = np.fromfile(MNIST / f"{prefix}-labels-idx1-ubyte", np.uint8)[8:]
    random = np.random.default_rng(0)
    for number, (pixels, label) in enumerate(zip(images[:count], labels[:count], strict=True)):
        large = Image.fromarray(pixels).resize((448, 448), Image.Resampling.BICUBIC)
        noisy = np.asarray(large) + random.normal(0, NOISE, (448, 448))
        path = DIGITS / split / str(label) / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).convert("RGB").save(path, quality=85)


def compare_heads(options: argparse.Namespace) -> None:
    """Train heads on features of both decodings, and print their accuracies on the test split."""
    if not DIGITS.exists():
        make_digits("test", "t10k", 2000)
        make_digits("train", "train", 6000)
    extractor, trainer = build("--bin", "vgg-extract"), build("--bin", "vgg-head")
    table = Table("size", "decode", "seeds", "test top-1", "± sd")
    results = []
    for size in options.sizes:
        for decode in ("full", "fast"):
            out = BENCH / "tmp" / "features-of-heads"
            words = ["--dataset", DIGITS, "--weights", WEIGHTS, "--size", size, "--out", out]
            cache = run(extractor, "run", *words, f"--decode={decode}").output.splitlines()[-1]
            words = ["--features", cache, "--p=0.5", "--seeds=5", "--epochs=10", "--json"]
            words += ["--schedule=cosine", "--out", BENCH / "tmp" / "sweeps-of-heads"]
            test = json.loads(run(trainer, "sweep", *words).output)["summary"]["test"]
            results.append({"size": size, "decode": decode} | test)
            top1, spread = (f"{100 * test[key]:.2f} %" for key in ("mean", "sd"))
            table.row(size, decode, test["seeds"], top1, spread)
            shutil.rmtree(out)
    write_json(BENCH / "photos-heads.json", results)


def make_pngs(count: int) -> Path:
    """A folder with the first training digits as PNG files."""
    folder = BENCH / "tmp" / "pngs"
    shutil.rmtree(folder, ignore_errors=True)
    images = np.fromfile(MNIST / "train-images-idx3-ubyte", np.uint8)[16:].reshape(-1, 28, 28)
    labels = np.fromfile(MNIST / "train-labels-idx1-ubyte", np.uint8)[8:]
    for label in range(10):
        (folder / "train" / str(label)).mkdir(parents=True)
    for number, (pixels, label) in enumerate(zip(images[:count], labels[:count], strict=True)):
        Image.fromarray(pixels).save(folder / "train" / str(label) / f"{number:05}.png")
    return folder


def compare_pngs(options: argparse.Namespace) -> None:
    """Extract digits from PNG files and from MNIST's own, in turn."""
    executable = build("--bin", "vgg-extract")
    count = options.images or 60_000
    pngs = make_pngs(count)
    table = Table("size", "images", "PNG/s", "MNIST's files/s", "ratio")
    results = []
    for size in options.sizes:
        rates: dict[str, list[float]] = {"png": [], "idx": []}
        for _ in range(options.rounds):
            for name, dataset in (("png", pngs), ("idx", MNIST)):
                limit = ["--limit", count]
                ended = extract(executable, dataset, size, options.threads, *limit)
                # MNIST has test images, too.
                rows = json.loads(features_folder(ended).joinpath("manifest.json").read_text())
                images = sum(split["rows"] for split in rows["splits"].values())
                rates[name].append(images / ended.seconds)
        ratio = statistics.median(a / b for a, b in zip(*rates.values(), strict=True))
        png, idx = (statistics.median(values) for values in rates.values())
        table.row(size, count, f"{png:.1f}", f"{idx:.1f}", f"{ratio:.3f}")
        results.append({"size": size, "images": count, "png_per_s": rates["png"]})
        results[-1] |= {"idx_per_s": rates["idx"], "ratio": rounded(ratio)}
    shutil.rmtree(pngs)
    write_json(BENCH / "photos-pngs.json", results)


def numbers(text: str) -> list[int]:
    """Parse a list such as `96,224`."""
    return [int(word) for word in text.split(",")]


def main() -> None:
    """Parse the command line and run the comparisons."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", choices=SETS, action="append", help="default: both")
    parser.add_argument("--sizes", type=numbers, default=list(SIZES), help="e.g. 96,224")
    parser.add_argument("--images", type=int, help="only so many images of each set")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--heads", action="store_true", help="compare heads of both decodings")
    parser.add_argument("--pngs", action="store_true", help="compare PNG files with MNIST's own")
    options = parser.parse_args()
    require_inputs(ONNX, WEIGHTS)
    if options.pngs:
        compare_pngs(options)
        return
    if options.heads:
        compare_heads(options)
        return
    executable = build("--bin", "vgg-extract")
    table = Table(
        *("set", "size", "images", "full/s", "fast/s", "decoded/s", "pytorch/s", "full:torch"),
        *("fast:torch", "full:decoded", "fast:decoded", "fast differs"),
    )
    results = []
    for name in options.set or SETS:
        count = min(SETS[name][0], options.images or SETS[name][0])
        photos = make_set(name, count)
        for size in options.sizes:
            result = {"set": name} | compare(executable, photos, size, options)
            results.append(result)
            rates = result["images_per_s"]
            table.row(
                *(name, size, result["images"]),
                *(f"{rates[key]:.1f}" for key in ("full", "fast", "decoded", "pytorch")),
                *(f"{result[f'{key}_to_pytorch']:.2f}x" for key in ("full", "fast")),
                *(f"{result[f'{key}_to_decoded']:.2f}x" for key in ("full", "fast")),
                f"{result['difference_of_fast']:.4f}",
            )
            write_json(BENCH / "photos.json", results)
        shutil.rmtree(photos)


if __name__ == "__main__":
    main()
