"""Softmax regression (`arch=linear`) beside the peers, the second part of `bench/run.py head`.

On the same max-pooled features of MNIST at 96 px, 4,608 values per row, are compared:

- the time to a loss: that of scikit-learn's `LogisticRegression` (lbfgs) with its defaults, and so
  at most 100 iterations, given the array, and given the same as compressed sparse rows; and that of
  ours with a learning rate of 0.001 that goes down to 0 as a cosine, batches of 64 and so many
  epochs that its mean cross-entropy over the training rows is lower than that of either;
- the rows per second of steps on batches of 64: ours with Adam, and PyTorch's loop with SGD on the
  array.

Ours takes its rows as lists of the elements that are not 0, as `vgg-head` keeps them. A ratio is
the median over the rounds of the peer's time to ours, or of our rate to the peer's; of
scikit-learn's two the faster counts.

Results: a table and `artifacts/bench/linear.json`.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from engines import BENCH, Engine, Table, python, ratios, rounded, write_json

SIZE = 96
FITS = ("sklearn", "sklearn-csr")
EPOCHS = 10


def compare(ours: Path, arrays: tuple[Path, Path], options: argparse.Namespace) -> None:
    """Measure, print the table, and write linear.json."""
    features, labels = map(str, arrays)
    words = ["--features", features, "--labels", labels, "--threads", str(options.threads)]
    command = [ours, *words, "--heads", "1", "--arch", "linear"]
    engines = {"ours": Engine("ours-linear", command, options.threads)}
    for name in FITS:
        fit = python("peer_linear.py", "--engine", name, *words)
        engines[name] = Engine(name, fit, options.threads)
    sgd = python("peer_head.py", "--engine", "pytorch-sgd", *words)
    engines["pytorch-sgd"] = Engine("pytorch-sgd", sgd, options.threads)
    seconds: dict[str, list[float]] = {name: [] for name in ("ours", *FITS)}
    rates: dict[str, list[float]] = {name: [] for name in ("ours", "pytorch-sgd")}
    losses: dict[str, float] = {}
    for _ in range(options.rounds):
        for name in FITS:
            elapsed, losses[name], _ = engines[name].ask("fit")
            seconds[name].append(elapsed)
        elapsed, losses["ours"] = engines["ours"].ask(f"fit {EPOCHS}")
        seconds["ours"].append(elapsed)
        for name in rates:
            rates[name].append(engines[name].measure(options.seconds))
    peak = {name: round(engine.close()) for name, engine in engines.items()}
    median = {name: statistics.median(values) for name, values in seconds.items()}
    faster = min(FITS, key=lambda name: median[name])
    to_loss = ratios(seconds, faster, "ours")
    per_epoch = ratios(rates, "ours", "pytorch-sgd")
    table = Table("linear", "ours", *FITS, "pytorch-sgd", "ratio")
    table.row(
        "s to loss",
        *(f"{median[name]:.3g}" for name in ("ours", *FITS)),
        *("", f"{statistics.median(to_loss):.1f}x"),
    )
    if losses["ours"] > min(losses[name] for name in FITS):
        print("the loss of ours is higher, so the times cannot be compared")
    table.row("loss", *(f"{losses[name]:.3g}" for name in ("ours", *FITS)), "", "")
    rate = {name: statistics.median(values) for name, values in rates.items()}
    table.row(
        *("rows/s", f"{rate['ours']:.0f}", "", "", f"{rate['pytorch-sgd']:.0f}"),
        f"{statistics.median(per_epoch):.1f}x",
    )
    write_json(
        BENCH / "linear.json",
        {
            "rows": options.rows,
            "threads": options.threads,
            "seconds_to_loss": {name: rounded(value) for name, value in median.items()},
            "losses": {name: rounded(value) for name, value in losses.items()},
            "epochs": EPOCHS,
            "faster_fit": faster,
            "ratio_to_loss": rounded(statistics.median(to_loss)),
            "ratio_to_loss_lowest": rounded(min(to_loss)),
            "ratio_to_loss_highest": rounded(max(to_loss)),
            "rows_per_s": {name: rounded(value) for name, value in rate.items()},
            "ratio_per_epoch": rounded(statistics.median(per_epoch)),
            "ratio_per_epoch_lowest": rounded(min(per_epoch)),
            "ratio_per_epoch_highest": rounded(max(per_epoch)),
            "rounds": options.rounds,
            "peak_mib": peak,
        },
    )
