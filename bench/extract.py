"""Extraction beside the peers: `bench/run.py extract`.

`--part kernels` measures the 13 convolutions alone: our kernel with both accuracies, PyTorch
(channels-last, inference mode), ONNX Runtime, and OpenVINO in the better of its latency and
throughput modes, in float32 with the same weights, interleaved. A ratio is the median over the
rounds of our rate to that of the peer with the highest median. `--part small` does the same with
one, two and four images at a time, and OpenVINO in its latency mode. "start" is the time from the
start of our kernel's process to the end of its first pass, the weights read and transformed.

`--part command` measures the whole `vgg-extract run`, a process from start to end, and compares it
with the bare loop over the same convolutions in PyTorch and in our kernel.

`--part taps` measures the cost of further taps; `all` leaves it out.

Results: a table for each part, and `artifacts/bench/extract.json`, `extract-speed.svg`,
`extract-small.json`, `command.json` and `taps.json`.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import command
import numpy as np
import taps
import vgg16
from engines import (
    BENCH,
    MNIST,
    ONNX,
    WEIGHTS,
    Engine,
    Rates,
    Table,
    build,
    fastest,
    interleave,
    python,
    ratios,
    require_inputs,
    rounded,
    write_json,
)
from speed_svg import draw

BATCHES = {48: 64, 64: 64, 96: 32, 128: 16, 224: 8}
SMALL = {size: (1, 2, 4) for size in (48, 64, 96, 128, 224)}
SIZES = {"kernels": BATCHES, "small": SMALL, "command": command.IMAGES, "taps": taps.SIZES}
ACCURACIES = ("fast", "exact")
OPENVINO = ("openvino-latency", "openvino-throughput")
PEERS = ("pytorch", "onnxruntime", *OPENVINO)
LATENCY_PEERS = ("pytorch", "onnxruntime", "openvino-latency")


def start_peer(name: str, size: int, batch: int, threads: int, features: Path) -> Engine:
    """Start one of the peers, which writes its features of the batch to a file."""
    options = {"--engine": name, "--size": size, "--batch": batch, "--threads": threads}
    paths = {"--onnx": ONNX, "--mnist": MNIST, "--features": features}
    words = [word for pair in (options | paths).items() for word in pair]
    return Engine(name, python("peer_extract.py", *words), threads)


def start_ours(executable: Path, accuracy: str, size: int, batch: int, threads: int) -> Engine:
    """Start our kernel."""
    words = ["--serve", 1, "--size", size, "--batch", batch, "--threads", threads]
    images = BENCH / "tmp" / f"images-{size}.npy"
    np.save(images, vgg16.digits(MNIST, batch, size))
    words += ["--accuracy", accuracy, "--weights", WEIGHTS, "--images", images]
    return Engine(accuracy, [executable, *map(str, words)], threads)


def start_with_taps(name: str, size: int, more: Sequence[object], executable: Path) -> Engine:
    """Start our kernel with further words, on random weights and images."""
    words = ["--serve", 1, "--size", size, "--batch", BATCHES[size], "--threads", command.THREADS]
    return Engine(name, [executable, *map(str, [*words, *more])], command.THREADS)


def start_bare(backend: str, size: int, kernel: Path) -> Engine:
    """Start the bare loop with which the whole command with this backend is compared."""
    batch, threads = BATCHES[size], command.THREADS
    if backend == "torch":
        return start_peer("pytorch", size, batch, threads, BENCH / "tmp" / "features.npy")
    return start_ours(kernel, "fast", size, batch, threads)


def check_agreement(features: dict[str, Path]) -> None:
    """End with a message if the peers do not compute the same features and cannot be compared."""
    arrays = {name: np.load(path) for name, path in features.items()}
    reference = arrays["pytorch"]
    for name, array in arrays.items():
        deviation = np.abs(array - reference).max() / np.abs(reference).max()
        if array.shape != reference.shape or deviation > 1e-4:
            sys.exit(f"error: features of {name} differ from PyTorch's by {deviation:.1e}")


def bench_kernels(executable: Path, options: argparse.Namespace) -> None:
    """Measure the convolutions alone at every size and number of threads."""
    sizes = options.sizes or list(BATCHES)
    cases = [(size, BATCHES[size], threads) for threads in options.threads for size in sizes]
    for results in compare_cases(executable, cases, options):
        write_json(BENCH / "extract.json", results)
        draw(results, BENCH / "extract-speed.svg")


def bench_small(executable: Path, options: argparse.Namespace) -> None:
    """Measure the convolutions with few images at a time."""
    sizes = options.sizes or list(SMALL)
    cases = [
        (size, batch, threads)
        for threads in options.threads
        for size in sizes
        for batch in SMALL[size]
    ]
    for results in compare_cases(executable, cases, options, LATENCY_PEERS):
        write_json(BENCH / "extract-small.json", results)


def compare_cases(
    executable: Path,
    cases: list[tuple[int, int, int]],
    options: argparse.Namespace,
    peers: Sequence[str] = PEERS,
) -> Iterator[list[dict]]:
    """Print a table of these sizes, batches and threads; yield the results after each row."""
    table = Table(
        *("size", "batch", "threads", "accuracy", "images/s", "pytorch", "onnxrt", "openvino"),
        *("ratio", "lowest", "highest", "peak MiB", "start s"),
    )
    results = []
    for size, batch, threads in cases:
        for result in compare_kernels(executable, size, batch, threads, options, peers):
            results.append(result)
            table.row(
                *(result[key] for key in ("size", "batch", "threads", "accuracy")),
                *(f"{result[key]:.1f}" for key in ("images_per_s", "pytorch", "onnxruntime")),
                f"{result['openvino']:.1f}",
                *(f"{result[key]:.2f}x" for key in ("ratio", "ratio_lowest", "ratio_highest")),
                result["peak_mib"][result["accuracy"]],
                f"{result['start_seconds'][result['accuracy']]:.2f}",
            )
        yield results


def compare_kernels(
    executable: Path,
    size: int,
    batch: int,
    threads: int,
    options: argparse.Namespace,
    peers: Sequence[str],
) -> list[dict]:
    """Measure all competitors at one size; return a result for each of our accuracies."""
    features = {name: BENCH / "tmp" / f"features-{name}.npy" for name in peers}
    engines = [start_peer(name, size, batch, threads, features[name]) for name in peers]
    check_agreement(features)
    engines += [start_ours(executable, name, size, batch, threads) for name in ACCURACIES]
    rates = interleave(engines, options.rounds, options.seconds)
    peak = {engine.name: round(engine.close()) for engine in engines}
    case = {"size": size, "batch": batch, "threads": threads}
    start = {engine.name: engine.start_seconds for engine in engines}
    return [case | describe(rates, accuracy, peak, peers, start) for accuracy in ACCURACIES]


def describe(
    rates: Rates,
    accuracy: str,
    peak: dict[str, int],
    peers: Sequence[str],
    start: dict[str, float],
) -> dict:
    """Compute the figures of a row of extract.json."""
    openvino = fastest(rates, [peer for peer in peers if peer in OPENVINO])
    peer = fastest(rates, peers)
    against = ratios(rates, accuracy, peer)
    median = {name: rounded(statistics.median(values)) for name, values in rates.items()}
    return {
        "accuracy": accuracy,
        "images_per_s": median[accuracy],
        "pytorch": median["pytorch"],
        "onnxruntime": median["onnxruntime"],
        "openvino": median[openvino],
        "openvino_mode": openvino.removeprefix("openvino-"),
        "fastest_peer": peer,
        "ratio": rounded(statistics.median(against)),
        "ratio_lowest": rounded(min(against)),
        "ratio_highest": rounded(max(against)),
        "rounds": len(against),
        "peak_mib": peak,
        "start_seconds": {name: rounded(seconds) for name, seconds in start.items()},
    }


def numbers(text: str) -> list[int]:
    """Parse a list such as `48,96`."""
    return [int(word) for word in text.split(",")]


def main() -> None:
    """Parse the command line and run the chosen parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=(*SIZES, "all"), default="all")
    parser.add_argument("--sizes", type=numbers, default=None, help="e.g. 48,96")
    parser.add_argument("--threads", type=numbers, default=[2, 1], help="not of command; e.g. 2,1")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="per measurement of a kernel")
    options = parser.parse_args()
    asked = options.sizes
    parts = ("kernels", "small", "command") if options.part == "all" else (options.part,)
    known = set.intersection(*(set(SIZES[part]) for part in parts))
    if asked and not set(asked) <= known:
        parser.error(f"--sizes: there are {sorted(known)}")
    require_inputs(ONNX, WEIGHTS, MNIST)
    (BENCH / "tmp").mkdir(parents=True, exist_ok=True)
    kernel = build("--example", "bench")
    if "kernels" in parts:
        bench_kernels(kernel, options)
    if "small" in parts:
        bench_small(kernel, options)
    if "command" in parts:
        sizes = asked or list(command.IMAGES)
        command.bench(sizes, options.rounds, functools.partial(start_bare, kernel=kernel))
    if "taps" in parts:
        sizes = asked or list(taps.SIZES)
        start = functools.partial(start_with_taps, executable=kernel)
        taps.bench(sizes, options.rounds, options.seconds, command.THREADS, start)


if __name__ == "__main__":
    main()
