"""The files of `tests/orientation.rs`, which record an orientation, and their pixels by Pillow.

Beside each file NAME there is NAME.ppm, what Pillow's `ImageOps.exif_transpose` makes of it.

    pip install -r ../corpus/requirements.txt
    python make_files.py
"""

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "corpus"))

from common import picture, ppm  # noqa: E402

PICTURE = Image.fromarray(picture(height=9, width=14))
SHORT, LONG, BYTE = 3, 4, 1


def exif(orientation: int, order: str = ">", kind: int = SHORT, before: int = 0) -> bytes:
    """EXIF data without their mark, with some other tags before the orientation."""
    tags = [struct.pack(order + "HHII", 256 + tag, LONG, 1, tag) for tag in range(before)]
    value = struct.pack(order + {SHORT: "HH", LONG: "I", BYTE: "BBH"}[kind], *{
        SHORT: (orientation, 0), LONG: (orientation,), BYTE: (orientation, 0, 0),
    }[kind])
    tags.append(struct.pack(order + "HHI", 274, kind, 1) + value)
    mark = b"MM\0*" if order == ">" else b"II*\0"
    count = struct.pack(order + "H", len(tags))
    return mark + struct.pack(order + "I", 8) + count + b"".join(tags) + b"\0\0\0\0"


def xmp(orientation: int, attribute: bool = True) -> bytes:
    text = (
        f'<rdf:Description tiff:Orientation="{orientation}"/>'
        if attribute
        else f"<rdf:Description><tiff:Orientation>{orientation}</tiff:Orientation></rdf:Description>"
    )
    return f"<x:xmpmeta>{text}</x:xmpmeta>".encode()


def encoded(form: str, **options: object) -> bytes:
    file = io.BytesIO()
    PICTURE.save(file, form, **options)
    return file.getvalue()


def segment(content: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content


def jpeg(*segments: bytes) -> bytes:
    """A JPEG with these APP1 segments and other bytes after its first segment."""
    plain = encoded("JPEG", quality=90)
    end = 4 + struct.unpack(">H", plain[4:6])[0]
    return plain[:end] + b"".join(segments) + plain[end:]


EXIF, XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"


def chunk(name: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def png(before: bytes = b"", after: bytes = b"") -> bytes:
    """A PNG with chunks before and after its pixels."""
    plain = encoded("PNG")
    start, end = plain.index(b"IDAT") - 4, len(plain) - 12
    return plain[:start] + before + plain[start:end] + after + plain[end:]


def raw_profile(content: bytes) -> bytes:
    digits = content.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    return f"\nexif\n{len(content):8}\n{lines}\n".encode()


def itxt(content: bytes, compressed: bool = False) -> bytes:
    text = zlib.compress(content) if compressed else content
    return chunk(b"iTXt", b"XML:com.adobe.xmp\0" + bytes([compressed, 0]) + b"\0\0" + text)


FILES = {}
for orientation in range(1, 9):
    FILES[f"{orientation}.jpg"] = jpeg(segment(EXIF + exif(orientation)))
    FILES[f"{orientation}.png"] = png(chunk(b"eXIf", exif(orientation, "<")))
    FILES[f"{orientation}.webp"] = encoded("WEBP", lossless=True, exif=exif(orientation))
    FILES[f"{orientation}.tif"] = encoded("TIFF", tiffinfo={274: orientation})
FILES |= {
    "little-endian.jpg": jpeg(segment(EXIF + exif(6, "<", before=3))),
    "long.jpg": jpeg(segment(EXIF + exif(6, kind=LONG))),
    "byte.jpg": jpeg(segment(EXIF + exif(6, kind=BYTE))),
    "nine.jpg": jpeg(segment(EXIF + exif(9))),
    "zero-with-xmp.jpg": jpeg(segment(EXIF + exif(0)), segment(XMP + xmp(6))),
    "continued.jpg": jpeg(segment(EXIF + exif(6)[:20]), segment(EXIF + exif(6)[20:])),
    "cut-off-before-the-tag.jpg": jpeg(segment(EXIF + exif(6, before=2)[:24])),
    "xmp-attribute.jpg": jpeg(segment(XMP + xmp(8))),
    "xmp-element.jpg": jpeg(segment(XMP + xmp(3, attribute=False))),
    "exif-wins.jpg": jpeg(segment(XMP + xmp(3)), segment(EXIF + exif(6))),
    "exif-without-orientation.jpg": jpeg(
        segment(EXIF + b"II*\0\x08\0\0\0\0\0\0\0\0\0"), segment(XMP + xmp(5))
    ),
    "bytes-between-segments.jpg": jpeg(b"\x01\x02\x03", b"\xff\xff", segment(EXIF + exif(6))),
    "after-pixels.png": png(after=chunk(b"eXIf", exif(6))),
    "raw-profile.png": png(chunk(b"tEXt", b"Raw profile type exif\0" + raw_profile(EXIF + exif(6)))),
    "raw-profile-compressed.png": png(
        chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw_profile(EXIF + exif(8))))
    ),
    "xmp.png": png(itxt(xmp(6))),
    "xmp-compressed.png": png(itxt(xmp(7), compressed=True)),
    "xmp.webp": encoded("WEBP", lossless=True, xmp=xmp(6)),
    "xmp.tif": encoded("TIFF", tiffinfo={700: xmp(6)}),
    "animated.webp": encoded(
        "WEBP", lossless=True, exif=exif(6), save_all=True, append_images=[PICTURE.rotate(180)]
    ),
}

for old in HERE.iterdir():
    if old.suffix != ".py":
        old.unlink()
for name, content in FILES.items():
    (HERE / name).write_bytes(content)
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        turned = ImageOps.exif_transpose(image).convert("RGB")
    (HERE / f"{name}.ppm").write_bytes(ppm(np.asarray(turned)))
