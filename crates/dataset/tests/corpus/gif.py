"""GIF: palettes, interlacing, transparency, first frames of other sizes than the screen."""

import struct
from typing import Optional

import numpy as np
from PIL import Image

from common import HEIGHT, WIDTH, encode, picture

SIZE = (13, 19)
SIXTEEN_BIT_GRAY = frozenset()
MISREAD: dict[str, str] = {}
REFUSED = {"end-code-early.gif": "lacks its last rows"}
NETSCAPE = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"


def codes(
    indices: np.ndarray, size: int, end: Optional[int] = None, room: Optional[int] = None
) -> bytes:
    """The LZW codes of indices, whose first have SIZE + 1 bits; of the first END pixels only.

    Once the table has ROOM codes it is begun anew; without that it stays as it is when full.
    """
    clear, stop = 1 << size, (1 << size) + 1
    digits = ""

    def put(code: int, width: int) -> None:
        nonlocal digits
        digits += f"{code:0{width}b}"[::-1]

    table = {(value,): value for value in range(clear)}
    width, following, prefix = size + 1, stop + 1, ()
    put(clear, width)
    for value in indices.reshape(-1)[:end].tolist():
        longer = (*prefix, value)
        if longer in table:
            prefix = longer
            continue
        put(table[prefix], width)
        prefix = (value,)
        if following == 4096:
            continue
        if following == room:
            put(clear, width)
            table = {(value,): value for value in range(clear)}
            width, following = size + 1, stop + 1
        else:
            if following == 1 << width:
                width += 1
            table[longer] = following
            following += 1
    if prefix:
        put(table[prefix], width)
        if following == 1 << width and width < 12:
            width += 1
    put(stop, width)
    digits += "0" * (-len(digits) % 8)
    return bytes(int(digits[at : at + 8][::-1], 2) for at in range(0, len(digits), 8))


def blocks(data: bytes) -> bytes:
    """Bytes in blocks of up to 255, and an empty one."""
    parts = (data[at : at + 255] for at in range(0, len(data), 255))
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def table_bits(colours: bytes) -> int:
    """The field that tells a palette's length: one less than its colours' bits."""
    bits = (len(colours) // 3).bit_length() - 2
    assert len(colours) == 3 << bits + 1
    return bits


def frame(
    indices: np.ndarray,
    size: int,
    *,
    at: tuple[int, int] = (0, 0),
    colours: bytes = b"",
    interlaced: bool = False,
    transparent: Optional[int] = None,
    disposal: int = 0,
    end: Optional[int] = None,
    room: Optional[int] = None,
) -> bytes:
    """A frame of indices whose codes are for SIZE bits, at (x, y); COLOURS are its own."""
    out = b""
    if transparent is not None or disposal:
        flags = disposal << 2 | (transparent is not None)
        out += struct.pack("<BBBBHBB", 0x21, 0xF9, 4, flags, 10, transparent or 0, 0)
    height, width = indices.shape
    flags = (0x80 | table_bits(colours) if colours else 0) | 0x40 * interlaced
    out += struct.pack("<BHHHHB", 0x2C, *at, width, height, flags) + colours
    if interlaced:
        order = [*range(0, height, 8), *range(4, height, 8), *range(2, height, 4)]
        indices = indices[[*order, *range(1, height, 2)]]
    return out + bytes([size]) + blocks(codes(indices, size, end, room))


def gif(
    width: int,
    height: int,
    *frames: bytes,
    colours: bytes = b"",
    background: int = 0,
    version: bytes = b"89a",
    after: bytes = b"\x3b",
) -> bytes:
    """A file of frames; COLOURS are those of all of them."""
    flags = 0x80 | 0x70 | table_bits(colours) if colours else 0x70
    screen = struct.pack("<HHBBB", width, height, flags, background, 0)
    return b"GIF" + version + screen + colours + b"".join(frames) + after


def quantised(count: int, size: tuple[int, int] = SIZE) -> tuple[np.ndarray, bytes]:
    """The picture's indices, and COUNT colours."""
    image = Image.fromarray(picture(*size)).quantize(count)
    return np.asarray(image), image.palette.tobytes()[: 3 * count].ljust(3 * count, b"\0")


def palettes() -> dict[str, bytes]:
    """Palettes of every length, global and the frame's own, and none."""
    files = {}
    height, width = SIZE
    for bits in range(1, 9):
        indices, colours = quantised(1 << bits)
        size = max(2, bits)
        files[f"palette-of-{1 << bits}.gif"] = gif(
            width, height, frame(indices, size), colours=colours
        )
    indices, colours = quantised(16)
    for size in (5, 8):
        files[f"palette-of-16-codes-for-{size}-bits.gif"] = gif(
            width, height, frame(indices, size), colours=colours
        )
    files["palette-of-4-indices-up-to-15.gif"] = gif(
        width, height, frame(indices, 4), colours=colours[:12]
    )
    other = colours[::-1]
    files["frame-palette.gif"] = gif(width, height, frame(indices, 4, colours=colours))
    files["frame-palette-and-global-palette.gif"] = gif(
        width, height, frame(indices, 4, colours=colours), colours=other
    )
    small, few = quantised(4)
    files["frame-palette-shorter-than-global-palette.gif"] = gif(
        width, height, frame(small, 2, colours=few), colours=other
    )
    files["no-palette.gif"] = gif(width, height, frame(indices * 16, 8))
    gray = b"".join(bytes([n] * 3) for n in range(256))
    files["gray-palette.gif"] = gif(width, height, frame(indices * 16, 8), colours=gray)
    files["version-87a.gif"] = gif(
        width, height, frame(indices, 4), colours=colours, version=b"87a"
    )
    files["interlaced.gif"] = gif(
        width, height, frame(indices, 4, interlaced=True), colours=colours
    )
    for count in (1, 2, 3, 4, 5):
        rows, few = quantised(8, (count, 5))
        files[f"interlaced-of-{count}-rows.gif"] = gif(
            5, count, frame(rows, 3, interlaced=True), colours=few
        )
    noise = np.random.default_rng(0).integers(0, 256, (63, 62), np.uint8)
    full = b"".join(bytes([n, 255 - n, n * 7 % 256]) for n in range(256))
    files["codes-begun-anew.gif"] = gif(width, height, frame(indices, 4, room=60), colours=colours)
    files["codes-of-a-full-table-that-stays.gif"] = gif(62, 63, frame(noise, 8), colours=full)
    flat = np.zeros((20, 20), np.uint8)
    files["codes-of-one-colour.gif"] = gif(20, 20, frame(flat, 2), colours=few[:12])
    return files


def transparency() -> dict[str, bytes]:
    """A transparent colour, which `convert("RGB")` shows as it stands in the palette."""
    files = {}
    height, width = SIZE
    indices, colours = quantised(16)
    files["transparent.gif"] = gif(
        width, height, frame(indices, 4, transparent=int(indices[0, 0])), colours=colours
    )
    files["transparent-beyond-the-palette.gif"] = gif(
        width, height, frame(indices, 4, transparent=200), colours=colours
    )
    files["transparent-unused.gif"] = gif(
        width, height, frame(indices % 15, 4, transparent=15), colours=colours
    )
    return files


def screens() -> dict[str, bytes]:
    """First frames smaller or larger than the screen, and what stands round them."""
    files = {}
    height, width = SIZE
    indices, colours = quantised(16)
    # No gray and no black, so that what surrounds the frame is told apart.
    named = bytes([200, 30, 30]) + colours[3:42] + bytes([20, 180, 40, 30, 60, 220])
    wide, high = width + 8, height + 6
    for label, options in (
        ("", {}),
        ("transparent-3", {"transparent": 3}),
        ("transparent-14", {"transparent": 14}),
        ("disposal-2", {"disposal": 2}),
        ("own-palette", {"colours": named[::-1]}),
        ("own-palette-transparent-14", {"colours": named[::-1], "transparent": 14}),
        ("interlaced", {"interlaced": True}),
    ):
        name = "-".join(word for word in ("frame-smaller-than-screen", label) if word)
        made = frame(indices, 4, at=(5, 2), **options)
        files[f"{name}.gif"] = gif(wide, high, made, colours=named)
    for label, options in (("", {}), ("-transparent-3", {"transparent": 3})):
        made = frame(indices, 4, at=(5, 2), **options)
        files[f"frame-smaller-than-screen-background-15{label}.gif"] = gif(
            wide, high, made, colours=named, background=15
        )
    made = frame(indices, 4, at=(5, 2), colours=named)
    files["frame-smaller-than-screen-no-global-palette.gif"] = gif(wide, high, made, background=15)
    made = frame(indices * 16, 8, at=(5, 2))
    files["frame-smaller-than-screen-no-palette.gif"] = gif(wide, high, made, background=15)
    files["frame-smaller-at-the-corner.gif"] = gif(
        wide, high, frame(indices, 4), colours=named, background=15
    )
    files["frame-larger-than-screen.gif"] = gif(
        width - 6, height - 4, frame(indices, 4), colours=named
    )
    files["frame-beyond-the-screen.gif"] = gif(
        width, height, frame(indices, 4, at=(6, 5)), colours=named
    )
    files["frame-beyond-the-screen-transparent-14.gif"] = gif(
        width, height, frame(indices, 4, at=(6, 5), transparent=14), colours=named
    )
    files["frame-after-the-screen.gif"] = gif(4, 3, frame(indices, 4, at=(6, 5)), colours=named)
    files["screen-of-0.gif"] = gif(0, 0, frame(indices, 4), colours=named)
    return files


def several() -> dict[str, bytes]:
    """Several frames, of which the first is decoded, and data that end early or late."""
    files = {}
    height, width = SIZE
    indices, colours = quantised(16)
    for disposal in range(4):
        frames = [
            frame(indices, 4, disposal=disposal),
            frame(indices[::-1][:6, :8], 4, at=(4, 3), disposal=disposal, transparent=2),
            frame(indices[:, ::-1], 4, disposal=disposal),
        ]
        files[f"three-frames-disposal-{disposal}.gif"] = gif(
            width, height, NETSCAPE, *frames, colours=colours
        )
    comment = b"\x21\xfe" + blocks(b"A comment.")
    plain_text = b"\x21\x01" + blocks(bytes(12))[:-1] + blocks(b"A text.")
    files["comment.gif"] = gif(width, height, comment, frame(indices, 4), colours=colours)
    files["plain-text-extension.gif"] = gif(
        width, height, plain_text, frame(indices, 4), colours=colours
    )
    whole = gif(width, height, frame(indices, 4), colours=colours)
    files["no-trailer.gif"] = whole[:-1]
    files["bytes-after-the-trailer.gif"] = whole + bytes(range(100))
    files["bytes-in-front-of-the-trailer.gif"] = whole[:-1] + bytes(10) + whole[-1:]
    files["end-code-early.gif"] = gif(
        width, height, frame(indices, 4, end=width * 5 + 4), colours=colours
    )
    files["more-pixels-than-the-frame.gif"] = gif(
        width,
        height,
        frame(np.concatenate([indices, indices]), 4),
        colours=colours,
    ).replace(struct.pack("<HH", width, 2 * height), struct.pack("<HH", width, height))
    return files


def files() -> dict[str, bytes]:
    """Every GIF by name."""
    image = Image.fromarray(picture(HEIGHT, WIDTH)).quantize(32)
    merged = {
        "palette.gif": encode(image, "GIF"),
        "animated.gif": encode(image, "GIF", save_all=True, append_images=[image.rotate(180)]),
    }
    for group in (palettes(), transparency(), screens(), several()):
        assert not merged.keys() & group.keys()
        merged |= group
    return merged
