"""Inputs of the parsers of images."""

import struct
import zlib
from pathlib import Path

from files import DATASET_TESTS, write

IMAGES = DATASET_TESTS / "corpus"
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
