"""Inputs of the parser of Parquet files."""

import gzip
import struct

from datasets import FORMS
from files import CORPUS, write


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

    def file(
        images: bytes, codec: int = 0, rows: int = 2, schema: list = schema, **more: int | list
    ) -> bytes:
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
    write(
        "parquet/indices-of-255-bits",
        file(dictionary(value, 1) + page(bytes([255, 4, 3]), encoding=8)),
    )
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
    write(
        "parquet/schema-that-ends", file(page(value * 2), schema=[dict(f4=b"x", f5=9), *schema[1:]])
    )
    write("parquet/no-columns-in-group", file(page(value * 2), groups=[dict(f1=[], f2=1, f3=2)]))
    write("parquet/many-groups", file(page(value * 2), groups=[dict(f3=2)] * 3000))
    write("parquet/no-groups", file(page(value * 2), groups=[]))
    chunk = lambda start, rows: dict(f3=dict(f4=0, f5=rows, f6=1, f7=1, f9=start))
    group = lambda rows: dict(
        f1=[chunk(4, rows), chunk(4 + len(page(value * 2)), rows)], f2=1, f3=rows
    )
    write("parquet/groups-that-share-pages", file(page(value * 2), groups=[group(2)] * 2))
    write(
        "parquet/whole-with-empty-groups",
        file(page(value * 2), groups=[group(0), group(2), group(0)]),
    )
    note = b'{"info":{"features":{"label":{"_type":"ClassLabel","names":' + b"[" * 500
    footer = thrift(f1=2, f2=schema, f3=0, f4=[], f5=[dict(f1=b"huggingface", f2=note)])
    write("parquet/nested-note", b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1")
    write("parquet/lists-in-lists", b"PAR1" + b"\x19" * 5000 + struct.pack("<I", 5000) + b"PAR1")
    whole = (CORPUS / "metadata_parquet/whole").read_bytes()
    write("metadata_parquet/truncated", whole[:-40])
    climbing = whole.replace(b"train/b.png", b"../../etc/p")
    write("metadata_parquet/climbing", climbing)
    write("metadata_parquet/images", hub)
