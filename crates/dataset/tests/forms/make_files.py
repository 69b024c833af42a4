"""Make datasets as other libraries write them, and what they read of them: parquet/, image-folder/, webdataset/.
Also make the files of parquet-refused/, and those of the fuzzer's corpus for which the libraries are needed.

    python3 -m venv venv
    venv/bin/pip install datasets==5.2.0 pyarrow==26.0.1 polars==2.1.0 webdataset==1.0.2 pillow==13.0.0
    venv/bin/python make_files.py

Every image has 4x4 pixels of one gray level, so that a row is told by it. Each folder has an `expected.json`: for
each dataset its splits, with gray level and label of each row, as the library reads them that wrote them.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_CACHE"] = tempfile.mkdtemp()

import datasets
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import webdataset
from PIL import Image

HERE = Path(__file__).parent
CLASSES = ["cat", "dog", "mouse"]
ROWS = 40

datasets.disable_progress_bars()


def png(gray: int) -> bytes:
    out = io.BytesIO()
    Image.new("L", (4, 4), gray).save(out, "PNG")
    return out.getvalue()


def gray_of(image: Image.Image) -> int:
    return image.convert("L").getpixel((0, 0))


def label(row: int) -> int:
    return row * row % 3


def folder(name: str) -> Path:
    path = HERE / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def write_expected(path: Path, expected: dict) -> None:
    text = json.dumps(expected, indent=1, sort_keys=True)
    (path / "expected.json").write_text(text + "\n")


def rows_of(path: str | dict, image: str = "image") -> list:
    """The rows of Parquet files as the library `datasets` reads them."""
    rows = datasets.load_dataset("parquet", data_files=path, split="train")
    if not isinstance(rows.features[image], datasets.Image):
        rows = rows.cast_column(image, datasets.Image())
    label = rows.features["label"]
    name = (lambda n: n) if label.dtype == "string" else (lambda n: None if n == -1 else n)
    if isinstance(label, datasets.ClassLabel):
        name = lambda n: None if n == -1 else label.int2str(n)
    return [[gray_of(row[image]), name(row["label"])] for row in rows]


def parquet() -> None:
    to = folder("parquet")
    expected = {}

    # As push_to_hub and to_parquet write them.
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=CLASSES)}
    )
    hub = to / "hub" / "data"
    hub.mkdir(parents=True)
    shards = {
        "train-00000-of-00002": range(0, 12),
        "train-00001-of-00002": range(12, 20),
        "validation-00000-of-00001": range(20, 25),
        "test-00000-of-00001": range(25, 30),
    }
    for name, rows in shards.items():
        labels = [-1 if name.startswith("test") else label(row) for row in rows]
        images = [{"bytes": png(row), "path": f"{row}.png"} for row in rows]
        table = datasets.Dataset.from_dict({"image": images, "label": labels}, features=features)
        table.to_parquet(hub / f"{name}.parquet")
    splits = {"train": "train-*", "val": "validation-*", "test": "test-*"}
    expected["hub"] = {split: rows_of(str(hub / files)) for split, files in splits.items()}

    # As pyarrow and polars write them, in every form that is read.
    images = [{"bytes": png(row), "path": None} for row in range(ROWS)]
    image = pa.array(images, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    numbers = pa.array([label(row) for row in range(ROWS)], pa.int64())
    names = pa.array([CLASSES[label(row)] for row in range(ROWS)])
    plain = pa.table({"image": image, "label": numbers})
    small = {"data_page_size": 300, "write_batch_size": 4, "row_group_size": 17}
    required = pa.schema([pa.field("image", pa.binary(), False), pa.field("label", pa.int32(), False)])
    repeated = [png(row % 5) for row in range(ROWS)]
    delta = {"image.bytes": "DELTA_LENGTH_BYTE_ARRAY", "label": "DELTA_BINARY_PACKED"}
    written = {
        "snappy": (plain, small),
        "gzip": (plain, {"compression": "gzip", **small}),
        "zstd": (plain, {"compression": "zstd", **small}),
        "lz4": (plain, {"compression": "lz4", "use_dictionary": False}),
        "uncompressed": (plain, {"compression": "none", **small}),
        "fallback": (plain, {"dictionary_pagesize_limit": 400, **small}),
        "v2": (plain, {"data_page_version": "2.0", "compression": "zstd", **small}),
        "v2-uncompressed": (
            plain,
            {"data_page_version": "2.0", "compression": "none", "use_dictionary": False, **small},
        ),
        "delta": (plain, {"use_dictionary": False, "column_encoding": delta, **small}),
        "delta-32": (
            pa.table({"image": image, "label": numbers.cast(pa.int32())}),
            {"use_dictionary": False, "column_encoding": delta},
        ),
        "texts": (pa.table({"img": image.field("bytes"), "label": names}), {}),
        "required": (
            pa.table({"image": image.field("bytes"), "label": numbers.cast(pa.int32())}, required),
            {"use_dictionary": ["label"]},
        ),
        "repeated": (pa.table({"image": repeated, "label": numbers}), {}),
        "large": (
            pa.table({"image": image.field("bytes").cast(pa.large_binary()), "label": names.cast(pa.large_string())}),
            {},
        ),
    }
    for name, (table, options) in written.items():
        path = to / f"{name}.parquet"
        pq.write_table(table, path, **options)
        expected[path.name] = {"train": rows_of(str(path), table.column_names[0])}
    # A categorical column, of which each row group has all categories. The library `datasets` does not read it.
    ten = pa.array([f"class {number}" for number in range(10)])
    of_ten = pa.array([row // 4 % 10 for row in range(ROWS)], pa.int8())
    categories = pa.DictionaryArray.from_arrays(of_ten, ten)
    path = to / "categories.parquet"
    pq.write_table(pa.table({"image": image, "label": categories}), path, row_group_size=5)
    read = pq.read_table(path, columns=["label"]).column(0).to_pylist()
    expected[path.name] = {"train": [[row, label] for row, label in enumerate(read)]}
    path = to / "polars.parquet"
    kinds = {"bytes": polars.Binary, "path": polars.String}
    frame = {"image": images, "label": [label(row) for row in range(ROWS)]}
    polars.DataFrame(frame, {"image": polars.Struct(kinds), "label": polars.Int64}).write_parquet(path)
    expected[path.name] = {"train": rows_of(str(path))}
    write_expected(to, expected)

    # Splits and groups as columns.
    to = folder("parquet-columns")
    splits = (["train"] * 2 + ["validation", "test"]) * (ROWS // 4)
    columns = {"image": image, "label": numbers, "split": splits, "extra": [None] * ROWS}
    pq.write_table(pa.table(columns), to / "all.parquet")
    houses = [f"house {row // 4}" for row in range(ROWS)]
    columns = {"image": image, "kind": [row % 2 for row in range(ROWS)], "house": houses}
    pq.write_table(pa.table(columns), to / "houses.parquet")
    columns = {"image": image, "label": numbers, "subject_id": houses}
    pq.write_table(pa.table(columns), to / "subjects.parquet")

    # Two patients who are in several splits.
    patients = [f"p{row // 4 if row < 8 else row}" for row in range(ROWS)]
    columns = {"image": image, "label": numbers, "split": splits, "patient": patients}
    pq.write_table(pa.table(columns), to / "divided.parquet")

    # Large images that compress to nearly nothing, and few that come again and again.
    to = folder("parquet-sizes")
    blank = [b"P5 1500 1000 255\n" + bytes([row]) * 1_500_000 for row in range(3)]
    pq.write_table(
        pa.table({"image": blank, "label": numbers[:3]}),
        to / "blank.parquet",
        compression="zstd",
        use_dictionary=False,
    )
    again = [png(row // 500) for row in range(10_000)]
    pq.write_table(
        pa.table({"image": again, "label": [row // 500 % 3 for row in range(10_000)]}),
        to / "oversampled.parquet",
    )

    # What is refused.
    to = folder("parquet-refused")
    two_holes = [None if row in (4, 20) else png(row) for row in range(ROWS)]
    zeros = {"image": [bytes(20 << 20), b""], "label": numbers[:2]}
    holes = [None if row == 23 else png(row) for row in range(ROWS)]
    linked = [{"bytes": None if row == 5 else png(row), "path": f"{row}.png"} for row in range(ROWS)]
    refused = {
        "null-image": (pa.table({"image": holes, "label": numbers}), {"row_group_size": 10}),
        "null-bytes": (pa.table({"image": pa.array(linked, image.type), "label": numbers}), {}),
        "null-label": (
            pa.table({"image": image, "label": [None if row == 7 else "x" for row in range(ROWS)]}),
            {},
        ),
        "no-image": (pa.table({"text": names, "label": numbers}), {}),
        "image-of-text": (pa.table({"image": names, "label": numbers}), {}),
        "image-of-lists": (pa.table({"image": [[png(row)] for row in range(ROWS)], "label": numbers}), {}),
        "two-images": (pa.table({"left": holes[:9], "right": holes[:9], "label": numbers[:9]}), {}),
        "no-label": (pa.table({"image": image, "text": names}), {}),
        "label-of-floats": (pa.table({"image": image, "label": numbers.cast(pa.float64())}), {}),
        "label-of-lists": (pa.table({"image": image, "label": [[1, 2]] * ROWS}), {}),
        "two-nulls": (pa.table({"image": two_holes, "label": numbers}), {"row_group_size": 5}),
        "zeros": (pa.table(zeros), {"compression": "zstd", "use_dictionary": False}),
        "brotli": (plain, {"compression": "brotli"}),
        "prefixes": (
            plain,
            {"use_dictionary": False, "column_encoding": {"image.bytes": "DELTA_BYTE_ARRAY"}},
        ),
    }
    for name, (table, options) in refused.items():
        pq.write_table(table, to / f"{name}.parquet", **options)
    table = datasets.Dataset.from_dict({"image": images[:4], "label": [0, 1, 2, 1]}, features=features)
    table = table.data.table
    numbers = pa.array([0, 1, 3, 1], pa.int64())
    pq.write_table(table.set_column(1, table.field(1), numbers), to / "class-4.parquet")


def image_folder() -> None:
    to = folder("image-folder")
    expected = {}
    rows = [{"file_name": f"{row}.png", "label": CLASSES[label(row)]} for row in range(8)]

    def write_table(path: Path, ending: str, rows: list) -> None:
        table = pa.Table.from_pylist(rows)
        name = path / f"metadata.{ending}"
        if ending == "csv":
            table.to_pandas().to_csv(name, index=False)
        elif ending == "jsonl":
            table.to_pandas().to_json(name, orient="records", lines=True)
        else:
            pq.write_table(table, name)

    for ending in ["csv", "jsonl", "parquet"]:
        # One table, and one in the folder of each split.
        for name in ["flat", "splits"]:
            path = to / f"{name}-{ending}"
            parts = {"": rows} if name == "flat" else {"train": rows[:5], "test": rows[5:]}
            for part, rows_of_part in parts.items():
                (path / part).mkdir(parents=True)
                for row in rows_of_part:
                    (path / part / row["file_name"]).write_bytes(png(int(row["file_name"][:-4])))
                write_table(path / part, ending, rows_of_part)
            read = datasets.load_dataset("imagefolder", data_dir=str(path))
            of = lambda split: [[gray_of(row["image"]), row["label"]] for row in split]
            expected[path.name] = {split: of(read[split]) for split in read}
    write_expected(to, expected)

    # The table of the fuzzer's images.
    corpus = HERE / "../../../../fuzz/corpus/metadata_parquet"
    corpus.mkdir(parents=True, exist_ok=True)
    names = ["train/a.png", "train/b.png", "test/c.png"]
    table = pa.table({"file_name": names, "label": ["x", "y", "x"], "age": [1.5, 2.0, 0.5], "house": [7, 8, 7]})
    pq.write_table(table, corpus / "whole")
    options = {"use_dictionary": False, "data_page_version": "2.0", "compression": "zstd"}
    pq.write_table(table, corpus / "whole-v2", **options)


def web_dataset() -> None:
    to = folder("webdataset")
    expected = {}

    def write_tar(path: Path, rows: range, kind: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with webdataset.TarWriter(str(path), mtime=0) as out:
            for row in rows:
                label_of = {"cls": label(row)} if kind == "cls" else {"json": {"label": label(row)}}
                out.write({"__key__": f"set/{row:04}", "png": png(row), **label_of})

    def rows_in(pattern: str) -> list:
        samples = webdataset.WebDataset(pattern, shardshuffle=False).decode()
        def label_of(sample: dict) -> int:
            return sample["cls"] if "cls" in sample else sample["json"]["label"]
        with_gray = webdataset.WebDataset(pattern, shardshuffle=False).decode("pil")
        grays = [gray_of(sample["png"]) for sample in with_gray]
        return [[gray, label_of(sample)] for gray, sample in zip(grays, samples)]

    for shard in range(3):
        write_tar(to / f"flat/train-{shard:03}.tar", range(4 * shard, 4 * shard + 4), "cls")
    write_tar(to / "flat/test-000.tar", range(12, 15), "json")
    for split, rows in {"train": range(0, 5), "val": range(5, 7), "test": range(7, 9)}.items():
        write_tar(to / f"splits/{split}/000.tar", rows, "cls")
    expected["flat"] = {
        "train": rows_in(str(to / "flat/train-{000..002}.tar")),
        "test": rows_in(str(to / "flat/test-000.tar")),
    }
    expected["flat/train-{000..001}.tar"] = {"train": rows_in(str(to / "flat/train-{000..001}.tar"))}
    expected["flat/{train-{002..001},test-000}.tar"] = {
        "train": rows_in(str(to / "flat/train-{002,001}.tar")),
        "test": rows_in(str(to / "flat/test-000.tar")),
    }
    of_splits = {split: rows_in(str(to / f"splits/{split}/000.tar")) for split in ["train", "val", "test"]}
    expected["splits"] = of_splits
    expected["splits/{train,test}/000.tar"] = {split: of_splits[split] for split in ["train", "test"]}
    write_expected(to, expected)


if __name__ == "__main__":
    parquet()
    image_folder()
    web_dataset()
