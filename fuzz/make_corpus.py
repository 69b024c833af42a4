#!/usr/bin/env python3
"""Make the inputs that fuzzing starts from: tiny valid files and known hostile ones.

    python3 fuzz/make_corpus.py

The script writes the same bytes every time. It needs only Python's standard library, which has no
BLAKE3, so it does not make `corpus/manifest/whole*.json`. These are manifests of the small caches of
`tests/hostile-input/src/cache.rs`, as written by this version in either layout, by versions 1.0, 1.1
and 2.0, and as another program might write a later minor version. The files `whole*` of
`corpus/metadata_parquet/` are made with pyarrow, by `crates/dataset/tests/forms/make_files.py`.
"""

import gzip
import io
import json
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
FORMS = Path(__file__).parent.parent / "crates" / "dataset" / "tests" / "forms"
IMAGES = Path(__file__).parent.parent / "crates" / "dataset" / "tests" / "corpus"
WHOLE_IMAGES = [
    *("jpeg/baseline.jpg", "jpeg/progressive.jpg", "jpeg/cmyk.jpg"),
    *("jpeg/cmyk-own-scans-restart3.jpg", "jpeg/arithmetic-2x2-progressive-restart3.jpg"),
    *("png/gray16.png", "png/palette.png", "png/rgba.png", "gif/palette.gif"),
    *("gif/frame-beyond-the-screen.gif", "webp/lossless.webp", "webp/lossy.webp"),
    *("webp/animated-alpha-first-shifted.webp", "tiff/lzw.tiff", "tiff/plain.tif"),
    *("tiff/rgb-packbits-strips.tif", "tiff/rgb-deflate-predictor-2.tif", "tiff/fax-g4-tiles.tif"),
    *("tiff/jpeg-ycbcr-2x2-tiles-tables.tif", "tiff/rgb-lzw-predictor-2-planes.tif"),
    *("tiff/palette-8-bits-mm-tiles.tif", "bmp/rgb.bmp", "bmp/rle4.bmp", "bmp/rle8-skips-up.bmp"),
    "pnm/rgb.ppm",
]
# One of each format that the look at headers and ends knows.
SCANNED_IMAGES = [
    *("jpeg/baseline.jpg", "png/palette.png", "gif/palette.gif", "webp/lossy.webp"),
    *("tiff/lzw.tiff", "bmp/rgb.bmp", "pnm/rgb.ppm"),
]
RECORD_SEPARATOR = b"\x1e"


def write(name: str, content: bytes | str) -> None:
    """Write one input of the corpus."""
    path = CORPUS / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def idx(magic: int, dimensions: list[int], content: bytes) -> bytes:
    """An IDX file whose header has these dimensions."""
    return struct.pack(f">{1 + len(dimensions)}I", magic, *dimensions) + content


def datasets() -> None:
    """Inputs of the parsers of datasets' files, except for images."""
    images = idx(0x803, [2, 2, 2], bytes(range(8)))
    labels = idx(0x801, [2], bytes([0, 1]))
    for name, whole in [("idx_images", images), ("idx_labels", labels)]:
        write(f"{name}/whole", whole)
        write(f"{name}/whole.gz", gzip.compress(whole, mtime=0))
        write(f"{name}/truncated", whole[:-1])
        write(f"{name}/truncated.gz", gzip.compress(whole, mtime=0)[:-9])
        write(f"{name}/header-only", whole[:6])
    huge = 2**32 - 1
    write("idx_images/announces-everything", idx(0x803, [huge, huge, huge], b"0"))
    write(
        "idx_images/announces-everything.gz", gzip.compress(idx(0x803, [huge] * 3, b"0"), mtime=0)
    )
    write("idx_images/flat", idx(0x803, [2, 0, huge], b""))
    bomb = idx(0x803, [8, 1024, 1024], bytes(8 << 20))
    write("idx_images/bomb.gz", gzip.compress(bomb, mtime=0))
    write("idx_labels/announces-everything", idx(0x801, [huge], b"0"))
    write("idx_labels/class-255", idx(0x801, [2], bytes([0, 255])))
    header = "label,pixel0,pixel1,pixel2,pixel3\n"
    write("kaggle_csv/whole", header + "3,0,1,2,3\n7,4,5,6,255\n3,0,0,0,0\n")
    write(
        "kaggle_csv/carriage-returns", header.replace("\n", "\r\n") + "3,0,1,2,3\r\n7,4,5,6,7\r\n"
    )
    compressed = gzip.compress((header + "3,0,1,2,3\n7,4,5,6,255\n").encode(), mtime=0)
    write("kaggle_csv/whole-compressed", compressed)
    bomb = gzip.compress((header + "3,0,1,2,3\n" * 500_000).encode(), mtime=0)
    write("kaggle_csv/bomb-compressed", bomb)
    spaced = "pixel1 ; Label;pixel2;pixel3;pixel4\n\n1 ;3; 2;3;4\r\n\r\n2;3;3;3;3\n"
    write("kaggle_csv/whole-spaced", spaced)
    write("kaggle_csv/quotes", header + '"3","0",1,2,3\n"7\n",4,5,6,7\n')
    write("kaggle_csv/open-quote", header + '3,0,1,2,"3\n7,4,5,6,7\n')
    write("kaggle_csv/ragged", header + "3,0,1,2\n7,4,5,6,7,8\n")
    write("kaggle_csv/not-utf-8", header.encode() + b"3,0,\xff,2,3\n")
    write("kaggle_csv/large-label", header + "2147483647,0,1,2,3\n-1,4,5,6,7\n")
    write("kaggle_csv/no-rows", header)
    header = "path,label,split\n"
    whole = header + "a.png,cat,train\nb.png,dog,train\nc d.png,cat,val\nfolder/e.png,,test\n"
    write("image_list/whole", whole)
    write("image_list/whole-without-splits", "label,file\n2,a.png\n10,b.png\n2,folder/e.png\n")
    windows = whole.replace("\n", "\r\n").replace("folder/e", ".\\folder\\e")
    write("image_list/whole-from-windows", "\ufeff" + windows)
    write(
        "image_list/whole-quoted", header + '"a.png","cat, ""big""",train\n"b.png","d\nog",TRAIN\n'
    )
    write("image_list/twice", header + "a.png,cat,train\n./a.png,dog,train\n")
    write("image_list/missing", header + "a.png,cat,train\n../../../etc/x.png,cat,train\n")
    write("image_list/device", header + "/dev/zero,cat,train\n")
    write("image_list/folder", header + "folder,cat,train\n")
    write("image_list/nul", header + "a.png\0,cat,train\n")
    write("image_list/unknown-class", header + "a.png,cat,train\nb.png,dog,val\n")
    write("image_list/unknown-split", header + "a.png,cat,holdout\n")
    write("image_list/no-label", header + "a.png,,train\n")
    write("image_list/some-labels", header + "a.png,x,train\nb.png,,test\nc d.png,x,test\n")
    write("image_list/ragged", header + "a.png,cat\n")
    write("image_list/open-quote", header + 'a.png,"cat,train\nb.png,dog,train\n')
    write("image_list/not-utf-8", header.encode() + b"a.png,\xff,train\n")
    write("image_list/utf-16", whole.encode("utf-16"))
    write("image_list/semicolons", whole.replace(",", ";"))
    write("image_list/two-paths", "file,image,label\na.png,b.png,cat\n")
    write("image_list/numbers", "path,label\na.png,1e999\nb.png,-0\nc d.png,NaN\n")
    write("image_list/no-rows", header)

    groups = "path\tlabel\tgroup\na.png\tx\tp\nb.png\tx\tq\nc d.png\ty\tp\nfolder/e.png\ty\tq\n"
    write("image_list/whole-with-groups", groups)
    write("image_list/whole-compressed", gzip.compress(whole.encode(), mtime=0))
    write("image_list/bomb", gzip.compress((whole * 50_000).encode(), mtime=0))
    write("competition/whole", "id,breed\na,pug\nc,beagle\nb,pug\n")
    write("competition/whole-with-endings", "image;label;patient\nb.png;2;x\na.png;10;y\n")
    write("competition/missing", "id,breed\na,pug\n../b,beagle\n")
    write("competition/climbing", "id,breed\na.png,pug\n../../etc/passwd,beagle\n")
    write("competition/no-rows", "id,breed\n")
    write("competition/three-columns", "id,breed,age\na,pug,3\n")

    row = '{"file_name": "%s", "label": %s}\n'
    whole = row % ("train/a.png", '"x"') + "\n" + row % ("train/b.png", "7") + row % ("test/c.png", "null")
    write("image_folder/whole", whole)
    write("image_folder/climbing", whole + row % ("train/../../etc/passwd", "1"))
    write("image_folder/truncated", whole[:-20])
    write("image_folder/brackets", '{"file_name": "train/a.png", "label": ' + "[" * 1000)
    write("image_folder/other-names", row % ("train/a.png", "1") + '{"label": 1}\n')
    write("image_folder/line-breaks", row % ("train/a.png", '"x\\ny"') + row % ("missing.png", "1"))
    write("image_folder/empty-objects", "{}\n" * 50)
    write("image_folder/twice", row % ("train/a.png", "1") * 2)

    def npy(descriptor: str, shape: str, elements: bytes) -> bytes:
        header = f"{{'descr': '{descriptor}', 'fortran_order': False, 'shape': {shape}, }}\n"
        return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header.encode() + elements

    def npz(method: int, **arrays: bytes) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, array in arrays.items():
                archive.writestr(zipfile.ZipInfo(f"{name}.npy"), array, method)
        return file.getvalue()

    gray = npy("|u1", "(2, 2, 2)", bytes(range(8)))
    labels = npy("<i8", "(2, 1)", struct.pack("<2q", 1, 0))
    whole = {"train_images": gray, "train_labels": labels, "test_images": gray}
    for name, method in [("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED)]:
        write(f"arrays/whole-{name}", npz(method, **whole))
        write(f"arrays/truncated-{name}", npz(method, **whole)[:-40])
    bomb = npy("|u1", "(2, 4096, 4096)", bytes(2 << 24))
    write("arrays/bomb", npz(zipfile.ZIP_DEFLATED, images=bomb, labels=labels))
    write("arrays/whole-npy", npy("|u1", "(2, 2, 1, 3)", bytes(12)))
    write("arrays/floats", npy("<f4", "(2, 1, 1)", bytes(8)))
    write("arrays/pickle", npy("|O", "(2, 1, 1)", b"cos\nsystem\n(S'id'\ntR."))
    write("arrays/announces-everything", npy("|u1", "(2, 65535, 8192)", b""))
    write("arrays/overflows", npy("|u1", f"({2**40}, 65535, 8000)", b""))
    write("arrays/brackets", npy("|u1", "(" * 900, b""))
    write("arrays/record", npy("|u1", "(2, 1, 1)", b"12").replace(b"'|u1'", b"[('a', '|u1')]"))

    def tar(**members: bytes) -> bytes:
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
            for name, content in members.items():
                member = tarfile.TarInfo(name.replace("__", "."))
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return file.getvalue()

    pixel = b"P5 1 1 255\n\x07"
    whole = tar(a__pgm=pixel, a__cls=b"1", b__pgm=pixel, b__json=b'{"label": "x"}')
    write("webdataset/whole", whole[:5120])
    write("webdataset/without-an-end", whole[:4096])
    write("webdataset/truncated", whole[:2055])
    write("webdataset/no-label", tar(a__pgm=pixel)[:2048])
    write("webdataset/long-name", tar(**{"n" * 300 + "__pgm": pixel, "n" * 300 + "__cls": b"0"}))
    size = whole.index(b"00000000014")
    huge = bytearray(whole[:5120])
    huge[size : size + 11] = b"77777777777"
    huge[148:156] = b"%06o\0 " % (sum(huge[:148]) + 8 * 32 + sum(huge[156:512]))
    write("webdataset/announces-everything", bytes(huge))
    write("webdataset/climbing", tar(**{"../a__pgm": pixel, "../a__cls": b"0"})[:4096])

    parquet()

    # The parser adds the digest that belongs at the end.
    magic = b"file digests 2\n\0"
    entries = [bytes([key]) * 16 + bytes(range(32)) for key in range(1, 5)]
    for name, content in [
        ("whole", magic + b"".join(entries)),
        ("whole-one", magic + entries[0]),
        ("none", magic),
        ("empty", b""),
        ("twice", magic + entries[0] * 2),
        ("not-in-order", magic + entries[1] + entries[0]),
        ("without-key", magic + bytes(16) + bytes(range(32))),
        ("older-version", magic.replace(b"2", b"1") + entries[0]),
        ("half-an-entry", magic + b"".join(entries)[:-24]),
        ("newer-version", magic.replace(b"2", b"3") + entries[0]),
    ]:
        write(f"file_digests/{name}", content)


def png(width: int, height: int, content: bytes) -> bytes:
    """An RGB PNG of this size, with `content` instead of its rows."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(content, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def images() -> None:
    """Inputs of the image decoders: those of the tests, and bombs."""
    for path in (IMAGES / name for name in WHOLE_IMAGES):
        write(f"image/whole-{path.name}", path.read_bytes())
        write(f"image/truncated-{path.name}", path.read_bytes()[:-30])
    write("image/bomb.png", png(65_535, 2_000, b""))
    write("image/most.png", png(2_000, 2_000, b""))
    write("image/too-wide.png", png(65_536, 1, b""))
    write("image/text", "label,pixel0\n")
    for name in SCANNED_IMAGES:
        bytes, file = (IMAGES / name).read_bytes(), Path(name).name
        write(f"image_scan/whole-{file}", bytes)
        write(f"image_scan/truncated-{file}", bytes[: len(bytes) // 2])
        write(f"image_scan/more-{file}", bytes + b"more")
    write("image_scan/empty", b"")
    write("image_scan/bomb.png", png(65_535, 2_000, b""))


def thrift(**fields: int | bytes | bool | list | dict) -> bytes:
    """A struct of Thrift's compact protocol: `f1` is its field 1. Integers are of 64 bits; lists hold structs."""

    def varint(number: int) -> bytes:
        number &= 2**64 - 1
        out = b""
        while number > 127:
            out += bytes([number & 127 | 128])
            number >>= 7
        return out + bytes([number])

    out, last = b"", 0
    for name, value in fields.items():
        id = int(name[1:])
        kinds = {bool: 1 if value is True else 2, int: 6, bytes: 8, list: 9, dict: 12}
        out, last = out + bytes([(id - last) << 4 | kinds[type(value)]]), id
        if isinstance(value, list):
            out += bytes([0xFC]) + varint(len(value)) + b"".join(thrift(**one) for one in value)
        elif isinstance(value, dict):
            out += thrift(**value)
        elif isinstance(value, bytes):
            out += varint(len(value)) + value
        elif not isinstance(value, bool):
            out += varint(value << 1 ^ value >> 63)
    return out + b"\0"


def parquet() -> None:
    """Parquet files: some that other libraries wrote, and hostile ones that are written by hand."""
    for name in ["snappy", "zstd", "v2", "delta", "fallback", "texts", "required", "repeated"]:
        write(f"parquet/whole-{name}", (FORMS / f"parquet/{name}.parquet").read_bytes())
    hub = (FORMS / "parquet/hub/data/train-00001-of-00002.parquet").read_bytes()
    write("parquet/whole-hub", hub)
    write("parquet/truncated", hub[:-100])
    write("parquet/without-an-end", hub[:300])

    pixel = b"P5 1 1 255\n\x07"
    value = struct.pack("<I", len(pixel)) + pixel
    root = dict(f4=b"schema", f5=2)
    schema = [root, dict(f1=6, f3=0, f4=b"image"), dict(f1=2, f3=0, f4=b"label")]

    def page(body: bytes, size: int | None = None, values: int = 2, encoding: int = 0) -> bytes:
        data = dict(f1=values, f2=encoding, f3=3, f4=3)
        stored = len(body)
        return thrift(f1=0, f2=stored if size is None else size, f3=stored, f5=data) + body

    def dictionary(body: bytes, values: int) -> bytes:
        return thrift(f1=2, f2=len(body), f3=len(body), f7=dict(f1=values, f2=0)) + body

    def file(images: bytes, codec: int = 0, rows: int = 2, schema: list = schema, **more: int | list) -> bytes:
        labels = page(struct.pack("<2q", 0, 1), values=rows)
        start = dict(f4=codec, f5=rows, f6=1, f7=1, f9=4)
        other = dict(f4=0, f5=rows, f6=1, f7=1, f9=4 + len(images))
        groups = [dict(f1=[dict(f3=start), dict(f3=other)], f2=1, f3=rows)]
        footer = thrift(f1=2, f2=schema, f3=rows, f4=more.get("groups", groups))
        end = struct.pack("<I", more.get("footer", len(footer))) + b"PAR1"
        return b"PAR1" + images + labels + footer + end

    write("parquet/whole-by-hand", file(page(value * 2)))
    write("parquet/footer-of-4-gib", file(page(value * 2), footer=2**32 - 1))
    write("parquet/page-of-2-gib", file(page(value * 2, size=2**31 - 1), codec=1))
    write("parquet/negative-page", file(page(value * 2, size=-1)))
    write("parquet/more-rows-than-bytes", file(page(value * 2, values=2**31 - 1), rows=2**31 - 1))
    write("parquet/all-rows", file(page(value * 2, values=2**62), rows=2**62))
    write("parquet/fewer-values", file(page(value)))
    write("parquet/value-of-4-gib", file(page(struct.pack("<I", 2**32 - 1) + pixel)))
    bomb = gzip.compress(bytes(2**26), mtime=0)
    write("parquet/gzip-bomb", file(page(bomb, size=2 * len(value)), codec=2))
    write("parquet/gzip-bomb-announced", file(page(bomb, size=2**26), codec=2))
    write("parquet/snappy-bomb", file(page(b"\xff\xff\xff\xff\x0f" + value, size=60), codec=1))
    write("parquet/lz4-rubbish", file(page(b"\xf0\xff\xff\xff" + value, size=60), codec=7))
    indices = page(bytes([2, 4, 3]), encoding=8)
    of_two = dictionary(value * 2, 2) + page(bytes([2, 4, 1]), encoding=8)
    write("parquet/whole-dictionary", file(of_two))
    write("parquet/larger-dictionary-than-rows", file(dictionary(value * 4, 4) + indices))
    write("parquet/beyond-the-dictionary", file(dictionary(value, 1) + indices))
    write("parquet/no-dictionary", file(indices))
    write("parquet/dictionary-of-billions", file(dictionary(value, 2**31 - 1) + indices))
    write("parquet/indices-of-255-bits", file(dictionary(value, 1) + page(bytes([255, 4, 3]), encoding=8)))
    levels = page(struct.pack("<I", 2**32 - 1) + value * 2)
    optional = [root, dict(f1=6, f3=1, f4=b"image"), schema[2]]
    write("parquet/levels-of-4-gib", file(levels, schema=optional))
    v2 = dict(f1=2, f2=0, f3=2, f4=0, f5=2**31 - 1, f6=2**31 - 1, f7=False)
    write("parquet/levels-of-v2", file(thrift(f1=3, f2=30, f3=30, f8=v2) + value * 2))
    deltas = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01\x02\x02" + value
    write("parquet/deltas-of-huge-blocks", file(page(deltas, encoding=6)))
    deep = [dict(f3=1, f4=b"x", f5=1)] * 5000 + [dict(f1=6, f3=0, f4=b"y")]
    write("parquet/deep-schema", file(page(value * 2), schema=deep))
    write("parquet/wide-schema", file(page(value * 2), schema=[root, *schema[1:] * 6000]))
    write("parquet/schema-that-ends", file(page(value * 2), schema=[dict(f4=b"x", f5=9), *schema[1:]]))
    write("parquet/no-columns-in-group", file(page(value * 2), groups=[dict(f1=[], f2=1, f3=2)]))
    write("parquet/many-groups", file(page(value * 2), groups=[dict(f3=2)] * 3000))
    write("parquet/no-groups", file(page(value * 2), groups=[]))
    chunk = lambda start, rows: dict(f3=dict(f4=0, f5=rows, f6=1, f7=1, f9=start))
    group = lambda rows: dict(f1=[chunk(4, rows), chunk(4 + len(page(value * 2)), rows)], f2=1, f3=rows)
    write("parquet/groups-that-share-pages", file(page(value * 2), groups=[group(2)] * 2))
    write("parquet/whole-with-empty-groups", file(page(value * 2), groups=[group(0), group(2), group(0)]))
    note = b'{"info":{"features":{"label":{"_type":"ClassLabel","names":' + b"[" * 500
    footer = thrift(f1=2, f2=schema, f3=0, f4=[], f5=[dict(f1=b"huggingface", f2=note)])
    write("parquet/nested-note", b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1")
    write("parquet/lists-in-lists", b"PAR1" + b"\x19" * 5000 + struct.pack("<I", 5000) + b"PAR1")
    whole = (CORPUS / "metadata_parquet/whole").read_bytes()
    write("metadata_parquet/truncated", whole[:-40])
    climbing = whole.replace(b"train/b.png", b"../../etc/p")
    write("metadata_parquet/climbing", climbing)
    write("metadata_parquet/images", hub)


def npy(descriptor: str, shape: tuple[int, ...], content: bytes, version: int = 1) -> bytes:
    """A `.npy` file."""
    header = f"{{'descr': '{descriptor}', 'fortran_order': False, 'shape': {shape}, }}"
    length = "<H" if version == 1 else "<I"
    start = 8 + struct.calcsize(length)
    header = header.ljust(-(-(start + len(header) + 1) // 64) * 64 - start - 1) + "\n"
    return (
        b"\x93NUMPY"
        + bytes([version, 0])
        + struct.pack(length, len(header))
        + header.encode()
        + content
    )


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


def safetensors(tensors: dict[str, list[int]], metadata: dict[str, str] | None = None) -> bytes:
    """A safetensors file with these shapes, all numbers 0.5."""
    header, offset = {}, 0
    if metadata:
        header["__metadata__"] = metadata
    for name, shape in tensors.items():
        size = 4
        for side in shape:
            size *= side
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + struct.pack("<f", 0.5) * (offset // 4)


def message(number: int, content: bytes) -> bytes:
    """A length-delimited field of protocol buffers."""
    length, rest = b"", len(content)
    while rest > 127:
        length += bytes([rest & 127 | 128])
        rest >>= 7
    return bytes([number << 3 | 2]) + length + bytes([rest]) + content


def weights() -> None:
    """Inputs of the parsers of weights."""
    tensor = {"features.0.bias": [64]}

    def record(family: str, minor: int = 0, **more: object) -> str:
        """The entry of a canonical file of version 2."""
        members = {"format": {"major": 2, "minor": minor}, "family": family, "digest": "0" * 64}
        return json.dumps(members | more, separators=(",", ":"))

    canonical = {"vgg16": record("caffe")}
    for name in ["weights", "safetensors_import"]:
        write(f"{name}/one-tensor", safetensors(tensor, canonical))
        write(f"{name}/no-family", safetensors(tensor))
        write(f"{name}/first-version", safetensors(tensor, {"vgg16": "caffe " + "0" * 64}))
        write(f"{name}/version-1.1", safetensors(tensor, {"vgg16": "1.1 caffe " + "0" * 64}))
        write(f"{name}/later-version", safetensors(tensor, {"vgg16": "4294967295.4294967295 x"}))
        later = {"vgg16": record("x", minor=2**32 - 1, more=[{}])}
        write(f"{name}/later-minor", safetensors(tensor, later))
        nested = {"vgg16": '{"format":' + '{"x":[' * 2_000}
        write(f"{name}/nested-entry", safetensors(tensor, nested))
        write(f"{name}/batch-norm", safetensors({"features.1.running_mean": [64]}, canonical))
        write(f"{name}/wrong-shape", safetensors({"features.0.weight": [2, 2]}, canonical))
        write(f"{name}/header-announces-everything", struct.pack("<Q", 2**64 - 1) + b"{}")
        write(f"{name}/header-announces-much", struct.pack("<Q", 99_000_000) + b"{}")
        nineteen = {"vgg19": record("torchvision")}
        write(f"{name}/another-network", safetensors(tensor, nineteen))
        write(f"{name}/two-networks", safetensors(tensor, canonical | nineteen))
        prefixes = ["student.features.", "teacher.features.", "teacher.", ""]
        numbers = [0, 3, 6, 8, 11, 13, 16, 18]
        names = [f"{prefix}{number}.weight" for prefix in prefixes for number in numbers]
        write(f"{name}/prefixes", safetensors({name: [0] for name in names}))
        entry = json.dumps(
            {"a": {"dtype": "F32", "shape": [2**63, 2**63], "data_offsets": [0, 4]}},
            separators=(",", ":"),
        )
        write(f"{name}/huge-shape", struct.pack("<Q", len(entry)) + entry.encode() + bytes(4))
    weight = message(1, b"\x40\x03\x03\x03") + b"\x10\x01" + message(8, b"w") + message(9, bytes(8))
    bias = b"\x08\x40\x10\x01" + message(8, b"b") + message(4, bytes(256))
    image = message(1, b"v") + message(2, message(1, message(2, message(1, b"\x08\xe0\x01") * 4)))

    def node(operator: bytes, inputs: list[bytes], output: bytes, **attributes: bytes) -> bytes:
        names = b"".join(message(1, name) for name in inputs) + message(2, output)
        values = [
            message(5, message(1, name.encode()) + value) for name, value in attributes.items()
        ]
        return message(1, names + message(4, operator) + b"".join(values))

    def chain(
        before: bytes = b"", weight: bytes = message(5, weight), norm: list[bytes] | None = None
    ) -> bytes:
        """VGG16's nodes, each convolution with the same two tensors, with BatchNorm for `norm`."""
        nodes, at = [before], b"v"
        for index in range(13):
            steps = [(b"Conv", {"pads": message(8, b"\1\1\1\1")}), (b"Relu", {})]
            if norm:
                steps.insert(1, (b"BatchNormalization", {"epsilon": b"\x15" + bytes(4)}))
            if index in (1, 3, 6, 9):
                two = message(8, b"\2\2")
                steps.append((b"MaxPool", {"kernel_shape": two, "strides": two}))
            for operator, attributes in steps:
                inputs = [at, b"w", b"b"] if operator == b"Conv" else [at]
                if operator == b"BatchNormalization":
                    inputs = [at, *norm]
                at += b"v"
                nodes.append(node(operator, inputs, at, **attributes))
        return message(7, b"".join(nodes) + weight + message(5, bias) + message(11, image))

    write("onnx_import/vgg16", chain())
    write("onnx_import/batch-norm", chain(norm=[b"b"] * 4))
    write("onnx_import/batch-norm-without-tensors", chain(norm=[b"v", b""]))
    write("onnx_import/two-graphs", chain() * 2)
    write("onnx_import/negative-side", chain().replace(b"\x40\x03\x03\x03", b"\xff" * 3 + b"\x7f"))
    write("onnx_import/cycle", chain(before=node(b"Identity", [b"v"], b"v")))
    write(
        "onnx_import/transposed-pad",
        chain(
            before=node(b"Pad", [b"u"], b"t", pads=message(8, b"\0\1\1\0\0\1\1\0"))
            + node(b"Transpose", [b"t"], b"v", perm=message(8, b"\0\3\1\2"))
        ),
    )
    far = message(8, b"\xff" * 9 + b"\1" + b"\x7f" * 7)
    write("onnx_import/far-axes", chain(before=node(b"Transpose", [b"u"], b"v", perm=far)))
    write("onnx_import/far-pads", chain(before=node(b"Pad", [b"u"], b"v", pads=far)))
    constant = node(b"Constant", [], b"w", value=message(5, b"\x08\x01\x10\x01"))
    write("onnx_import/constant", chain(before=constant, weight=b""))
    external = (
        weight + b"\x70\x01" + message(13, message(1, b"location") + message(2, b"/etc/passwd"))
    )
    write("onnx_import/external", chain(weight=message(5, external)))
    norm = node(b"BatchNormalization", [b"vv"], b"vv")
    write("onnx_import/defined-again", chain(before=norm))
    write("onnx_import/not-utf-8", chain().replace(b"Relu", b"\xffelu"))
    write("onnx_import/announces-everything", b"\x3a" + b"\xff" * 9 + b"\x01")
    write("onnx_import/truncated", chain()[:-1])
    write("onnx_import/group", b"\x3b" * 64)


def runs() -> None:
    """Inputs of the parsers of runs and sweeps."""
    train = {
        "arch": "fastai", "hidden": 3, "p": 0.5, "epochs": 1, "batch_size": 2,
        "learning_rate": 0.001, "schedule": "constant", "seed": 0, "threads": 1,
    }  # fmt: skip
    last = {
        "epoch": 1, "train_loss": 0.7, "train_top1": 0.5, "val_loss": 0.6, "val_top1": 0.5,
        "learning_rate": 0.001, "seconds": 0.1,
    }  # fmt: skip

    def head(inputs: int, hidden: int, classes: int) -> bytes:
        tensors = {}
        for layer, width in [(1, inputs), (2, hidden)]:
            tensors |= {f"fc{layer}.weight": [hidden, width], f"fc{layer}.bias": [hidden]}
            for name in ["weight", "bias", "running_mean", "running_var"]:
                tensors[f"bn{layer}.{name}"] = [hidden]
        return safetensors(tensors | {"fc3.weight": [classes, hidden], "fc3.bias": [classes]})

    def run(shape: tuple[int, int, int], last: dict = last, file: bytes | None = None) -> bytes:
        inputs, hidden, classes = shape
        config = {
            "features": "SMALL", "features_key": "SMALL_KEY", "train": train,
            "shape": {"inputs": inputs, "hidden": hidden, "classes": classes},
        }  # fmt: skip
        table = ",".join(last) + "\n" + ",".join(str(value) for value in last.values()) + "\n"
        summary = {
            "last": last,
            "interrupted": False,
            "seconds_an_epoch": 0.1,
            "head_digest": "0" * 64,
        }
        parts = [json.dumps(config), table, json.dumps(summary)]
        whole = head(*shape) if file is None else file
        return RECORD_SEPARATOR.join(part.encode() for part in parts) + RECORD_SEPARATOR + whole

    whole = run((2, 3, 2))
    write("run/whole", whole)
    write("run/other-sizes", run((5, 3, 4)))
    write("run/announces-everything", run((2**62, 2**62, 2), file=head(2, 3, 2)))
    write("run/truncated", whole[:-1])
    extreme = last | {"epoch": 2**64 - 1, "train_loss": 1e308, "val_loss": -1e308, "seconds": 1e308}
    write("run/extreme-metrics", run((2, 3, 2), last=extreme))
    not_a_number = last | {"train_loss": "NaN", "val_loss": "inf", "val_top1": ""}
    table = ",".join(last) + "\n" + ",".join(str(value) for value in not_a_number.values()) + "\n"
    parts = whole.split(RECORD_SEPARATOR, 2)
    write("run/not-numbers", RECORD_SEPARATOR.join([parts[0], table.encode(), parts[2]]))

    def sweep(run_name: str, p: float = 0.5) -> bytes:
        setting = {"arch": "fastai", "hidden": 3, "p": p, "learning_rate": 0.001}
        result = setting | {
            "seed": 0, "epochs": 1, "train_loss": 0.7, "train_top1": 0.5, "val_loss": 0.6,
            "val_top1": 0.5, "run": run_name,
        }  # fmt: skip
        spread = {"mean": 0.5, "sd": 0.1, "seeds": 1}
        summary = {"setting": setting, "val": spread, "test": spread, "best_run": run_name}
        heads = [train | {"p": p}]
        config = {"features": "SMALL", "features_key": "SMALL_KEY", "heads": heads}
        table = ",".join(result) + "\n" + ",".join(str(value) for value in result.values()) + "\n"
        parts = [json.dumps(config), table, json.dumps(summary)]
        return RECORD_SEPARATOR.join(part.encode() for part in parts) + RECORD_SEPARATOR + whole

    write("sweep/whole", sweep("runs/a"))
    for name, run_name in [
        ("parent", "../a"),
        ("absolute", "/tmp"),
        ("itself", "."),
        ("nul", "a\0b"),
    ]:
        write(f"sweep/{name}", sweep(run_name))
    write("sweep/extreme", sweep("runs/a", p=1e308))
    parts = sweep("runs/a").split(RECORD_SEPARATOR)
    table = parts[1].split(b"\n")[0] + b"\n"
    write("sweep/no-results", RECORD_SEPARATOR.join([parts[0], table, *parts[2:]]))

    mistake = {"row": 3, "id": "3", "label": "a", "predicted": "b", "probability": 0.75}
    dataset = {
        "name": "digits", "path": "/nowhere", "digest": "", "val_fraction": 0.0, "limit": None,
        "seed": 0,
    }  # fmt: skip
    evaluation = {
        "format": {"major": 1, "minor": 3}, "split": "test", "rows": 4, "class_names": ["a", "b"],
        "confusion": [[1, 1], [0, 2]], "mistakes": [mistake],
        "manifest": json.dumps({"inputs": {"dataset": dataset}}),
    }  # fmt: skip
    for name, change in [
        ("whole", {}),
        ("whole-without-confusion", {"confusion": None}),
        ("not-square", {"confusion": [[4], []]}),
        ("huge-counts", {"confusion": [[2**64 - 1, 1], [0, 4]]}),
        ("row-outside", {"mistakes": [mistake | {"row": 2**64 - 1}]}),
        ("huge-rows", {"rows": 2**64 - 1, "confusion": None}),
        ("no-manifest", {"manifest": "\u0000<script>"}),
        ("many-mistakes", {"mistakes": [mistake] * 1000}),
    ]:
        write(f"evaluation/{name}", json.dumps(evaluation | change).encode())


def models() -> None:
    """Inputs of the parser of the model file. It signs them. The smallest network has 37 MB, so none is whole."""
    recipe = {
        "network": "vgg11", "weights": {"digest": "0" * 64, "family": "caffe-rgb"},
        "image": {
            "height": 32, "width": 32, "fit": "stretch", "resize": "bilinear",
            "orientation": "ignore",
        },
        "taps": ["conv1_1:avg"], "numerics": "winograd3-fast", "dtype": "float32",
    }  # fmt: skip
    record = {
        "format": {"major": 1, "minor": 0}, "recipe": recipe, "taps": ["conv1_1:avg"],
        "class_names": ["a", "b"], "heads": 1,
        "shape": {"inputs": 64, "hidden": 3, "classes": 2},
    }  # fmt: skip

    def model(tensors: dict[str, list[int]], **changes: object) -> bytes:
        entry = {"digest": "0" * 64, "record": record | changes}
        text = json.dumps(entry, separators=(",", ":"))
        return safetensors(tensors, {"vgg-classify": text})

    first = {"features.0.weight": [64, 3, 3, 3], "features.0.bias": [64]}
    write("model/no-tensors", model({}))
    write("model/first-layer", model(first))
    write("model/wrong-shape", model({"features.0.weight": [64, 27]}))
    write("model/newer-major", model({}, format={"major": 2, "minor": 0}))
    write("model/newer-minor", model({}, format={"major": 1, "minor": 2**32 - 1}, more=[{}]))
    write("model/no-heads", model({}, heads=0))
    write("model/most-heads", model(first, heads=2**64 - 1))
    write("model/huge-shape", model({}, shape={"inputs": 2**62, "hidden": 2**62, "classes": 2}))
    write("model/empty-shape", model({}, shape={"inputs": 0, "hidden": 0, "classes": 0}))
    write("model/other-network", model({}, recipe=recipe | {"network": "alexnet"}))
    write("model/other-taps", model({}, taps=["pool5"], recipe=recipe | {"taps": []}))
    image = recipe["image"] | {"height": 2**63, "width": 2**63}
    write("model/huge-image", model({}, recipe=recipe | {"image": image}))
    write("model/hostile-names", model({}, class_names=["\u0000\u001b[2J", "../x"]))
    write("model/no-record", safetensors({}, {"vgg-classify": "{}"}))
    write("model/no-entry", safetensors({}, {"other": "{}"}))
    write("model/weights", safetensors(first))
    write("model/truncated", model(first)[:-1])


def requests() -> None:
    """Bodies of requests to the server."""
    for name, strokes in [
        ("whole", [[[10, 10], [20, 40.5], [10, 70]], [[30, 10], [30, 70]]]),
        ("dot", [[[5, 5]]]),
        ("dots-in-one-place", [[[5, 5]], [[5, 5], [5, 5]]]),
        ("wide", [[[-1e6, 0], [1e6, 1e-30]]]),
        ("too-far", [[[0, 0], [1e30, 0]]]),
        ("nothing", []),
        ("empty-stroke", [[]]),
        ("one-coordinate", [[[1]]]),
        ("most-points", [[[i % 97, i % 89] for i in range(8192)]]),
        ("too-many-points", [[[0, 0]] * 8193]),
    ]:
        write(f"drawing/{name}.json", json.dumps({"strokes": strokes}).encode())
    write("drawing/not-finite.json", b'{"strokes": [[[1e39, 1]]]}')
    write("drawing/deep.json", b'{"strokes": ' + b"[" * 10_000)

    def infer(input: dict[str, object], tensors: bytes = b"", **more: object) -> bytes:
        images = {"name": "images", "datatype": "UINT8", "shape": [1, 1, 2, 3]} | input
        return json.dumps({"inputs": [images]} | more).encode() + RECORD_SEPARATOR + tensors

    flat = {"data": [0, 1, 2, 253, 254, 255]}
    binary = {"parameters": {"binary_data_size": 6}}
    wanted = [{"name": "logits", "parameters": {"binary_data": True}}]
    for name, body in [
        ("whole-flat", infer(flat, id="7")),
        ("whole-nested", infer({"data": [[[[0, 1, 2], [253, 254, 255]]]]})),
        ("whole-binary", infer(binary, b"pixels", outputs=wanted)),
        ("whole-gray", infer({"shape": [1, 2, 3]} | flat)),
        ("too-few-bytes", infer(binary, b"pixel")),
        ("both", infer(flat | binary, b"pixels")),
        ("neither", infer({})),
        ("huge-shape", infer({"shape": [2**63, 2**63, 2**63, 3]} | flat)),
        ("shape-that-overflows", infer({"shape": [1024, 65535, 65535, 3]} | flat)),
        ("no-images", infer({"shape": [0, 1, 2, 3], "data": []})),
        ("other-type", infer({"datatype": "FP32"} | flat)),
        ("not-bytes", infer({"data": [0, 1, 2, 3, 4, 256]})),
        ("fractions", infer({"data": [0, 1, 2, 3, 4, 0.5]})),
        ("other-output", infer(flat, outputs=[{"name": "labels"}])),
        (
            "shared-memory",
            infer(flat, outputs=[{"name": "logits", "parameters": {"shared_memory_region": "x"}}]),
        ),
        ("no-inputs", b'{"inputs": []}'),
        (
            "deep",
            b'{"inputs": [{"name": "images", "datatype": "UINT8", "shape": [1], "data": '
            + b"[" * 10_000,
        ),
    ]:
        write(f"infer/{name}", body)


datasets()
images()
caches()
pooled()
weights()
models()
requests()
runs()
