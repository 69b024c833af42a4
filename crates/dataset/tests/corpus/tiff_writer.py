"""A writer of TIFF that can write what encoders do not: any tag, strip, tile, bit order, page."""

import io
import lzma
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Optional

import imagecodecs
import numpy as np
from PIL import Image

from common import encode
from jpeg_markers import join, parts

BYTE, SHORT, LONG, RATIONAL, UNDEFINED, LONG8 = 1, 3, 4, 5, 7, 16
LAYOUTS = {BYTE: "B", SHORT: "H", LONG: "I", RATIONAL: "II", UNDEFINED: "B", LONG8: "Q"}
NONE, RLE, G3, G4, LZW, OLD_JPEG, JPEG, DEFLATE = 1, 2, 3, 4, 5, 6, 7, 8
OLD_DEFLATE, PACKBITS, LZMA, ZSTD, WEBP = 32946, 32773, 34925, 50000, 50001
MIN_IS_WHITE, MIN_IS_BLACK, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8

Tags = dict[int, tuple[int, list]]


@dataclass
class Page:
    """The tags and the strips or tiles of one image."""

    tags: Tags
    pieces: list[bytes]
    tiled: bool = False
    pages_below: list["Page"] = field(default_factory=list)
    # Further tags that depend on where the pieces stand.
    tags_at: Optional[Callable[[list[int]], Tags]] = None


def document(*pages: Page, order: str = "<", big: bool = False) -> bytes:
    """A file of these pages; ORDER is < for II and > for MM."""
    out = bytearray(b"II" if order == "<" else b"MM")
    offset, count = ("Q", "Q") if big else ("I", "H")
    out += struct.pack(f"{order}HHH", 43, 8, 0) if big else struct.pack(f"{order}H", 42)
    link = len(out)
    out += struct.pack(order + offset, 0)
    for page in pages:
        struct.pack_into(order + offset, out, link, _directory(out, page, order, big))
        link = len(out) - struct.calcsize(offset)
    return bytes(out)


def _directory(out: bytearray, page: Page, order: str, big: bool) -> int:
    """Where the page's directory stands, now that it is written."""
    offset, count = ("Q", "Q") if big else ("I", "H")
    offsets = []
    for piece in page.pieces:
        out += bytes(len(out) % 2)
        offsets.append(len(out))
        out += piece
    sub = [_directory(out, below, order, big) for below in page.pages_below]
    where, sizes = (324, 325) if page.tiled else (273, 279)
    tags = {where: (LONG, offsets), sizes: (LONG, [len(piece) for piece in page.pieces])}
    if sub:
        tags[330] = (LONG, sub)
    tags |= page.tags_at(offsets) if page.tags_at else {}
    tags |= page.tags
    tags = {tag: value for tag, value in tags.items() if value is not None}
    room = struct.calcsize(offset)
    rows = b""
    for tag in sorted(tags):
        kind, values = tags[tag]
        data = b"".join(
            struct.pack(order + LAYOUTS[kind], *(value if kind == RATIONAL else (value,)))
            for value in values
        )
        if len(data) > room:
            out += bytes(len(out) % 2)
            at = struct.pack(order + offset, len(out))
            out += data
            data = at
        rows += struct.pack(f"{order}HH{offset}", tag, kind, len(values)) + data.ljust(room, b"\0")
    out += bytes(len(out) % 2)
    start = len(out)
    out += struct.pack(order + count, len(tags)) + rows + struct.pack(order + offset, 0)
    return start


def packed(samples: np.ndarray, bits: int, order: str) -> bytes:
    """The bytes of samples [height, width, channels], each row from a byte of its own."""
    if bits >= 8 and bits != 12:
        return samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    height = samples.shape[0]
    rows = samples.reshape(height, -1).astype(">u2")
    digits = np.unpackbits(rows.view(np.uint8).reshape(height, -1, 2), axis=-1)
    return np.packbits(digits[..., 16 - bits :].reshape(height, -1), axis=1).tobytes()


def reversed_bits(data: bytes) -> bytes:
    """The same bytes with the lowest bit first."""
    array = np.frombuffer(data, np.uint8)
    return np.packbits(np.unpackbits(array, bitorder="little")).tobytes()


def fax(digits: np.ndarray, compression: int, options: int = 0) -> bytes:
    """Bits [height, width] as libtiff codes them, 0 as fax's white."""
    names = {RLE: "tiff_ccitt", G3: "group3", G4: "group4"}
    image = Image.fromarray(digits.astype(bool))
    info = {292: options} if compression == G3 else {}
    data = encode(image, "TIFF", compression=names[compression], tiffinfo=info)
    tags = Image.open(io.BytesIO(data)).tag_v2
    assert len(tags[273]) == 1 and tags.get(266, 1) == 1
    return data[tags[273][0] : tags[273][0] + tags[279][0]]


def compressed(data: bytes, compression: int, row: int) -> bytes:
    """Bytes, of which ROW make a row, in one of the general compressions."""
    if compression == PACKBITS:
        rows = (data[at : at + row] for at in range(0, len(data), row))
        return b"".join(imagecodecs.packbits_encode(part) for part in rows)
    coders = {
        NONE: bytes,
        LZW: imagecodecs.lzw_encode,
        DEFLATE: zlib.compress,
        OLD_DEFLATE: zlib.compress,
        LZMA: lambda plain: lzma.compress(plain, lzma.FORMAT_XZ, lzma.CHECK_NONE),
        ZSTD: lambda plain: imagecodecs.zstd_encode(plain, 9),
    }
    return bytes(coders[compression](data))


def predicted(samples: np.ndarray, predictor: int, order: str) -> bytes:
    """The bytes of differences: of neighbours (2), or of the bytes of floats (3)."""
    if predictor == 2:
        before = np.concatenate([np.zeros_like(samples[:, :1]), samples[:, :-1]], axis=1)
        return packed(samples - before, 8 * samples.dtype.itemsize, order)
    height, _, channels = samples.shape
    planes = samples.astype(samples.dtype.newbyteorder(">")).reshape(height, -1)
    size = samples.dtype.itemsize
    planes = planes.view(np.uint8).reshape(height, -1, size).transpose(0, 2, 1).reshape(height, -1)
    before = np.concatenate([np.zeros((height, channels), np.uint8), planes[:, :-channels]], axis=1)
    return (planes - before).tobytes()


def page(
    samples: np.ndarray,
    bits: int = 8,
    photometric: int = RGB,
    *,
    rows: Optional[int] = None,
    tile: Optional[tuple[int, int]] = None,
    planar: int = 1,
    compression: int = NONE,
    predictor: int = 1,
    fill_order: int = 1,
    fax_options: int = 0,
    extra: Optional[list[int]] = None,
    sample_format: int = 1,
    order: str = "<",
    coder: Optional[Callable[[np.ndarray], bytes]] = None,
    **tags: Optional[tuple[int, list]],
) -> Page:
    """A page of samples [height, width] or [height, width, channels].

    ROWS are those of a strip; a tile's size is (height, width). CODER makes a piece's bytes
    instead of what the other parameters say. Further tags are as t274=(SHORT, [6]), and None
    leaves a tag out.
    """
    samples = samples.reshape(*samples.shape[:2], -1)
    height, width, channels = samples.shape
    rows = height if rows is None else rows
    found: Tags = {
        256: (SHORT, [width]),
        257: (SHORT, [height]),
        258: (SHORT, [bits] * channels),
        259: (SHORT, [compression]),
        262: (SHORT, [photometric]),
        277: (SHORT, [channels]),
    }
    if tile:
        found |= {322: (SHORT, [tile[1]]), 323: (SHORT, [tile[0]])}
    else:
        found[278] = (SHORT, [rows])
    if planar != 1:
        found[284] = (SHORT, [planar])
    if predictor != 1:
        found[317] = (SHORT, [predictor])
    if fill_order != 1:
        found[266] = (SHORT, [fill_order])
    if extra is not None:
        found[338] = (SHORT, extra)
    if sample_format != 1:
        found[339] = (SHORT, [sample_format] * channels)
    if compression == G3:
        found[292] = (LONG, [fax_options])
    found |= {int(name[1:]): value for name, value in tags.items()}

    down, across = tile or (rows, width)
    planes = np.split(samples, channels, axis=2) if planar == 2 else [samples]
    pieces = []
    for plane in planes:
        for y in range(0, height, down):
            for x in range(0, width, across):
                piece = plane[y : y + down, x : x + across]
                if tile:
                    missing = [(0, down - piece.shape[0]), (0, across - piece.shape[1]), (0, 0)]
                    piece = np.pad(piece, missing, "edge")
                if coder:
                    data = coder(piece)
                elif compression in {RLE, G3, G4}:
                    data = fax(piece[..., 0], compression, fax_options)
                else:
                    if predictor == 1:
                        data = packed(piece, bits, order)
                    else:
                        data = predicted(piece, predictor, order)
                    data = compressed(data, compression, len(data) // piece.shape[0])
                pieces.append(reversed_bits(data) if fill_order == 2 else data)
    return Page(found, pieces, tile is not None)


def jpeg_piece(piece: np.ndarray, **options: object) -> bytes:
    """A strip or tile as a JPEG of its own: uint8 of one or three channels, these as RGB."""
    image = Image.fromarray(piece[..., 0] if piece.shape[2] == 1 else piece)
    return encode(image, "JPEG", quality=90, **options)


def with_jpeg_tables(made: Page) -> Page:
    """The same page with its JPEG tables in tag 347 instead of in every piece."""
    tables = {marker: [] for marker in (0xDB, 0xC4)}
    pieces = []
    for piece in made.pieces:
        found = parts(piece)
        for marker, kept in tables.items():
            own = [part for part in found if part[0] == marker]
            assert kept in ([], own)
            tables[marker] = own
        rest = [part for part in found if part[0] not in tables]
        pieces.append(join([part for part in rest if not 0xE0 <= part[0] <= 0xEF]))
    stream = join([*tables[0xDB], *tables[0xC4], (0xD9, b"\xff\xd9")])
    return Page({**made.tags, 347: (UNDEFINED, list(stream))}, pieces, made.tiled)
