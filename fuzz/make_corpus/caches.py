"""Inputs of the parsers of caches and of pooled features."""

import json
import struct
from collections.abc import Callable

from files import CORPUS, RECORD_SEPARATOR, npy, write


def caches() -> None:
    """Inputs of the parsers of a cache's files."""
    features = npy("<f4", (4, 2, 2, 2), struct.pack("<32f", *[0.5] * 32))
    write("features/whole", features)
    write("features/version-2", npy("<f4", (4, 2, 2, 2), bytes(128), version=2))
    write("features/half", npy("<f2", (4, 2, 2, 2), bytes(64)))
    write("features/huge-shape", npy("<f4", (2**63 - 1, 2**62, 2, 2), bytes(128)))
    write("features/truncated", features[:-1])
    write("features/fortran", features.replace(b"False", b"True "))
    write("features/negative-shape", features.replace(b"(4, 2", b"(-4,2"))
    write("features/pickle", npy("|O", (4, 2, 2, 2), b"cos\nsystem\n(S'true'\ntR."))
    write("features/not-utf-8", features.replace(b"descr", b"d\xffscr"))
    write("features/nested", b"\x93NUMPY\x01\0\0\x04" + b"(" * 1024)
    labels = npy("<i8", (4,), struct.pack("<4q", 0, 1, 0, 1))
    write("labels/whole", labels)
    write("labels/out-of-range", npy("<i8", (4,), struct.pack("<4q", 0, 2, -1, 2**63 - 1)))
    write("labels/no-shape", npy("<i8", (), bytes(8)))
    write("labels/two-dimensions", npy("<i8", (2, 2), bytes(32)))
    write("ids/whole", "a\nb\nc\nd\n")
    write("ids/hostile", "../../x\n\x1b]0;owned\x07\n<script>alert(1)</script>\n=cmd()\n")
    write("ids/not-utf-8", b"a\n\xff\nc\nd\n")
    write("ids/too-few", "a\nb")
    write("images/whole", bytes(range(128)))
    write("images/truncated", bytes(range(127)))
    write("images/empty", b"")
    write("images/more", bytes(160))
    whole = (CORPUS / "manifest/whole.json").read_text()
    for name, old, new in [
        ("names-elsewhere", '"train/ids.txt"', '"../../etc/passwd"'),
        ("absolute-name", '"train/features.npy"', '"/etc/passwd"'),
        ("newer-major", '"major": 2', '"major": 3'),
        ("older-major", '"major": 2', '"major": 0'),
        ("of-major-1", '"major": 2', '"major": 1'),
        ("huge-major", '"major": 2', '"major": 18446744073709551615'),
        ("two-formats", '"format": {', '"format_version": 1,\n  "format": {'),
        ("no-format", '"format": {', '"version": {'),
        ("two-digests", '"format": {', '"digest": "",\n  "format": {'),
        ("escaped-digest", '"digest": "', '"digest": "\\u0020'),
        ("unknown-fields", '"height"', '"views": {"seeds": [1, -2, 3.5, null]},\n    "height"'),
        ("absurd-numbers", '"seed": 0', '"seed": 1e400'),
        ("huge-rows", '"rows": 4', '"rows": 18446744073709551615'),
        ("huge-files", '"bytes": ', '"bytes": 18446744073709550'),
        ("huge-shape", '"conv5_3": [\n      2', '"conv5_3": [\n      9223372036854775807'),
        ("empty-shape", '"conv5_3": [\n      2', '"conv5_3": [\n      0'),
        ("other-taps", '"taps": [', '"taps": ["pool4", '),
        ("no-taps", '"conv5_3"\n', ""),
        ("hostile-tap", '"conv5_3"', '"../x:avg"'),
        ("rows-from-5", '"first_row": 0', '"first_row": 5'),
        ("half", '"float32"', '"float16"'),
        ("hostile-classes", '"cat"', '"<script>\\u001b[2J"'),
        ("other-layout", '"layout": "dense"', '"layout": "csr"'),
        ("unknown-layout", '"layout": "dense"', '"layout": "coo"'),
        ("images-elsewhere", '"train/images.b3"', '"../images.b3"'),
        ("huge-reading", '"reading": 2', '"reading": 4294967296'),
    ]:
        assert old in whole, old
        write(f"manifest/{name}.json", whole.replace(old, new))
    write("manifest/truncated.json", whole[:-100])
    manifest = json.loads(whole)

    def record_of(layout: str, part: dict) -> dict:
        """A `progress.json`; `SMALL_KEY` stands for the key of the small cache."""
        split = {"rows": 2, "images": None, "features": {"conv5_3": part}}
        return {
            "format": {"major": 2, "minor": 1}, "key": "SMALL_KEY",
            "recipe": manifest["inputs"]["recipe"], "reading": 2, "layout": layout,
            "shapes": {"conv5_3": [2, 2, 2]}, "shard": {"index": 0, "of": 1}, "rows_total": 12,
            "splits": {"train": split},
        }  # fmt: skip

    def entry(name: str, content: bytes) -> dict:
        """The entry of a file; whoever reads it puts the digest in."""
        return {"file": name, "bytes": len(content), "digest": "0" * 64}

    record = record_of("dense", entry("train/features.npy", features) | {"first_row": 0, "rows": 2})
    write("progress/whole", json.dumps(record).encode() + RECORD_SEPARATOR + features)
    write("progress/alone", json.dumps(record))
    huge = {"rows": 2**64 - 1, "images": None, "features": {}}
    write("progress/huge", json.dumps(record | {"splits": {"train": huge, "val": huge}}))
    write("progress/of-other-inputs", json.dumps(record | {"key": "0" * 64}))
    write("progress/newer-major", json.dumps(record | {"format": {"major": 3, "minor": 0}}))
    write("progress/of-another-part", json.dumps(record | {"shard": {"index": 1, "of": 2}}))
    write("progress/of-no-part", json.dumps(record | {"shard": {"index": 1, "of": 1}}))
    write("progress/of-other-rules", json.dumps(record | {"reading": None}))
    of_2_0 = {"rows": 2, "digests": {"conv5_3": "0" * 64}}
    write("progress/of-2.0", json.dumps(record | {"splits": {"train": of_2_0}}))
    old = {name: record[name] for name in ["rows_total", "splits"]}
    write("progress/of-1.0", json.dumps(old).encode() + RECORD_SEPARATOR + features)
    write("progress/empty", "")
    csr_arrays(record_of, entry)


def csr_arrays(record_of: Callable[..., dict], entry: Callable[..., dict]) -> None:
    """Inputs of the parsers of the layout csr: four rows of eight numbers."""
    names = ("data", "indices", "indptr")

    def vector(descriptor: str, code: str, numbers: list) -> bytes:
        return npy(descriptor, (len(numbers),), struct.pack(f"<{len(numbers)}{code}", *numbers))

    def arrays(data: list[float], indices: list[int], indptr: list[int]) -> list[bytes]:
        columns = [index % 2**16 for index in indices]
        return [vector("<f4", "f", data), vector("<u2", "H", columns), vector("<i8", "q", indptr)]

    def joined(*parts: bytes) -> bytes:
        return RECORD_SEPARATOR.join(parts)

    data, indices, indptr = [0.5, -0.0, 1.5, 2.5, 3.5], [0, 2, 7, 1, 7], [0, 3, 3, 4, 5]
    whole = arrays(data, indices, indptr)
    write("csr/whole", joined(*whole))
    write("csr/whole-of-nothing", joined(*arrays([], [], [0] * 5)))
    for name, change in [
        ("falling-pointers", {"indptr": [0, 3, 2, 4, 5]}),
        ("pointers-from-1", {"indptr": [1, 3, 3, 4, 5]}),
        ("pointers-beyond", {"indptr": [0, 3, 2**62, 4, 5]}),
        ("negative-pointers", {"indptr": [0, -1, 3, 4, 5]}),
        ("too-few-pointers", {"indptr": [0, 3, 5]}),
        ("last-pointer", {"indptr": [0, 3, 3, 4, 6]}),
        ("column-8", {"indices": [0, 2, 8, 1, 7]}),
        ("column-twice", {"indices": [0, 2, 2, 1, 7]}),
        ("falling-columns", {"indices": [7, 2, 0, 1, 7]}),
        ("too-few-columns", {"indices": [0, 2, 7, 1]}),
        ("too-few-values", {"data": data[:4]}),
        ("nan", {"data": [0.5, float("nan"), 1.5, 2.5, 3.5]}),
        ("infinite", {"data": [0.5, 1.5, 1.5, 2.5, float("inf")]}),
    ]:
        content = {"data": data, "indices": indices, "indptr": indptr} | change
        write(f"csr/{name}", joined(*arrays(**content)))
    write("csr/wide-columns", joined(whole[0], vector("<i4", "i", indices), whole[2]))
    write("csr/two-dimensions", joined(npy("<f4", (5, 1), bytes(20)), *whole[1:]))
    write("csr/huge", joined(npy("<f4", (2**61,), bytes(20)), *whole[1:]))
    write("csr/truncated", joined(*whole)[:-9])
    write("csr/alone", whole[0])
    recorded = arrays(data[:3], indices[:3], indptr[:3])
    files = {
        name: entry(f"train/features.{name}.npy", content) for name, content in zip(names, recorded)
    }
    record = record_of("csr", files | {"first_row": 0, "rows": 2})

    def progress(name: str, record: dict, *files: bytes) -> None:
        write(f"progress_csr/{name}", joined(json.dumps(record).encode(), *files))

    progress("whole", record, *recorded)
    # What follows the recorded rows is cut off.
    progress("whole-and-more", record, *(content + bytes(64) for content in recorded))
    progress("alone", record)
    progress("shorter", record, *(content[:-1] for content in recorded))
    progress("other-columns", record, recorded[0], whole[1], recorded[2])
    other = arrays(data[:3], indices[:3], [0, 3, 2**40])
    progress("other-pointers", record, *other)
    huge = {name: file | {"bytes": 2**64 - 1} for name, file in files.items()}
    progress("huge", record_of("csr", huge | {"first_row": 0, "rows": 2}), *recorded)
    progress("dense", record_of("dense", files | {"first_row": 0, "rows": 2}), *recorded)


def pooled() -> None:
    """Inputs of the parser of pooled views: four rows of two numbers, of which four are not 0."""

    def record(layout: str, count: int, stamp: object, **changes: object) -> bytes:
        # `SMALL_FEATURES` stands for the digest of the small cache's features, and the digests and stamps
        # for those of the arrays.
        array = {"digest": "", "stamp": stamp}
        fields = {
            "features_digest": "SMALL_FEATURES",
            "layout": layout,
            "elements": 4,
            "largest_block": 4,
            "arrays": [array] * count,
        }
        return json.dumps(fields | changes).encode()

    def csr(
        values: tuple[float, ...] = (0.5,) * 4,
        columns: tuple[int, ...] = (0, 0, 1, 1),
        starts: tuple[int, ...] = (0, 1, 1, 3, 4),
        stamp: object = "",
        **changes: object,
    ) -> bytes:
        data = npy("<f4", (len(values),), struct.pack(f"<{len(values)}f", *values))
        indices = npy("<u2", (len(columns),), struct.pack(f"<{len(columns)}H", *columns))
        pointers = npy("<i8", (len(starts),), struct.pack(f"<{len(starts)}q", *starts))
        parts = [record("csr", 3, stamp, **changes), data, indices, pointers]
        return RECORD_SEPARATOR.join(parts)

    numbers = npy("<f4", (4, 2), struct.pack("<8f", *[0.5] * 8))
    dense = record("dense", 1, "", elements=8, largest_block=8) + RECORD_SEPARATOR + numbers
    write("pooled/whole-csr", csr())
    write("pooled/whole-dense", dense)
    for name, changes in {
        "column-beyond": {"columns": (0, 0, 1, 2)},
        "columns-repeat": {"columns": (0, 1, 1, 1)},
        "columns-fall": {"columns": (0, 1, 0, 1)},
        "pointers-fall": {"starts": (0, 3, 1, 3, 4)},
        "pointers-from-1": {"starts": (1, 1, 1, 3, 4)},
        "pointers-beyond": {"starts": (0, 1, 1, 9, 4)},
        "pointers-negative": {"starts": (0, 1, -1, 3, 4)},
        "pointers-short": {"starts": (0, 1, 1, 4)},
        "row-too-long": {"starts": (0, 0, 0, 3, 4)},
        "columns-short": {"columns": (0, 0, 1)},
        "values-short": {"values": (0.5,) * 3},
        "nan": {"values": (0.5, float("nan"), 0.5, 0.5)},
        "infinite": {"values": (float("inf"), 0.5, 0.5, 0.5)},
        "elements-huge": {"elements": 2**63},
        "elements-most": {"elements": 2**64 - 1, "largest_block": 2**64 - 1},
        "largest-block-wrong": {"largest_block": 3},
        "other-features": {"features_digest": "0" * 64},
        "arrays-too-few": {"arrays": []},
    }.items():
        # Trusted by its stamps, and read for its digests.
        write(f"pooled/{name}", csr(**changes))
        write(f"pooled/{name}-without-stamps", csr(**changes, stamp=None))
    write("pooled/truncated", csr()[:-1])
    write("pooled/dense-nan", dense[:-4] + struct.pack("<f", float("nan")))
    write("pooled/dense-truncated", dense[:-1])
    write("pooled/other-type", csr().replace(b"<u2", b"<i2"))
    write("pooled/other-layout", csr().replace(b'"csr"', b'"dense"'))
    earlier = {"features_digest": "SMALL_FEATURES", "digest": "0" * 64, "stamp": None}
    write("pooled/earlier-version", json.dumps(earlier).encode() + RECORD_SEPARATOR + numbers)
    write("pooled/not-json", b"{" + RECORD_SEPARATOR + numbers)
