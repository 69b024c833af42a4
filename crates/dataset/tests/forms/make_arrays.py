"""Make archives as NumPy writes them, and what it reads of them: arrays/.

    python3 make_arrays.py

Every image has 4x4 pixels of one gray level, so that a row is told by it. `expected.json` has for
each archive its splits, with gray level and label of each row.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent / "arrays"
ROWS = 12


def images(first: int, count: int = ROWS) -> np.ndarray:
    """Images, uint8 [count, 4, 4], whose gray levels ascend from the first."""
    return np.repeat(np.arange(first, first + count, dtype=np.uint8), 16).reshape(count, 4, 4)


def rows(gray: np.ndarray, labels: np.ndarray) -> list:
    """Gray level and label of each row."""

    def label(value: object) -> object:
        return value.decode() if isinstance(value, bytes) else value

    flat = labels.reshape(-1).tolist()
    return [[int(image.reshape(-1)[0]), label(it)] for image, it in zip(gray, flat)]


def main() -> None:
    """Write all of them."""
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir()
    names = np.array(["bee", "ant", "K\u00e4fer"])
    numbers = np.arange(ROWS) % 3
    texts = names[numbers]
    # 2 and 10 are in numerical order, not in that of their bytes.
    digits = np.array([b"10", b"2"])[np.arange(ROWS) % 2]
    ages = np.linspace(1, 80, ROWS)
    files = {
        "other-names.npz": (np.savez, {"photos": images(0), "species": numbers, "age": ages}),
        "other-names-small.npz": (
            np.savez_compressed,
            {"species": numbers.astype(np.uint8)[:, None], "photos": images(3)[..., None]},
        ),
        "other-names-texts.npz": (np.savez_compressed, {"photos": images(5), "species": texts}),
        "numbers-as-bytes.npz": (np.savez, {"images": images(7), "labels": digits}),
        "big-endian.npz": (np.savez, {"x": images(9), "y": texts.astype(">U5")}),
        "splits.npz": (
            np.savez,
            {"x_train": images(0), "y_train": texts, "x_test": images(30), "y_test": texts[::-1]},
        ),
    }
    expected = {}
    for name, (save, arrays) in files.items():
        save(HERE / name, **arrays)
        read = np.load(HERE / name, allow_pickle=False)
        known = (("photos", "species"), ("images", "labels"), ("x", "y"), ("x_train", "y_train"))
        pairs = {
            "train": next(pair for pair in known if pair[0] in read),
            "test": ("x_test", "y_test"),
        }
        expected[name] = {
            split: rows(read[image], read[label])
            for split, (image, label) in pairs.items()
            if image in read
        }
    text = json.dumps(expected, indent=1, sort_keys=True)
    (HERE / "expected.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
