"""PNG: colour types and depths, interlacing, filters, transparency, chunks, animation."""

import itertools
import struct
import zlib
from typing import Optional

import numpy as np
from PIL import Image

from common import alpha_picture, encode, gray_picture, picture

GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6
SAMPLES = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGBA: 4}
# First column and row of each pass of interlacing, and the steps between them.
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
PASSES += [(0, 1, 1, 2)]
SIZE = (17, 18)
SIXTEEN_BIT_GRAY = set()
MISREAD: dict[str, str] = {}
REFUSED = {
    **dict.fromkeys(
        (
            "with-wrong-checksum-of-gamma.png",
            "with-wrong-checksum-of-private-chunk.png",
            "with-wrong-checksum-of-text.png",
        ),
        "Pillow compares the checksums of all chunks in front of the image's data",
    ),
    "wrong-checksum-of-zlib.png": "the rows end with another checksum than theirs",
}


def chunk(kind: bytes, data: bytes, crc: Optional[int] = None) -> bytes:
    """A chunk with its length and its checksum, or a wrong one."""
    crc = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def packed(samples: np.ndarray, depth: int) -> np.ndarray:
    """The bytes of the rows of samples [height, width, channels], uint8 [height, bytes]."""
    height = samples.shape[0]
    if depth >= 8:
        kind = {8: ">u1", 16: ">u2"}[depth]
        return samples.astype(kind).reshape(height, -1).view(np.uint8)
    digits = np.unpackbits(samples.astype(np.uint8).reshape(height, -1, 1), axis=-1)
    return np.packbits(digits[..., 8 - depth :].reshape(height, -1), axis=1)


def paeth(left: int, above: int, corner: int) -> int:
    """Of three neighbours the one nearest to what they predict."""
    estimate = left + above - corner
    return min((left, above, corner), key=lambda value: abs(estimate - value))


def filtered(rows: np.ndarray, pixel: int, kinds: list[int]) -> bytes:
    """Rows after their filters' numbers, which KINDS repeats; a pixel has PIXEL bytes."""
    out = b""
    above = np.zeros(rows.shape[1], int)
    for row, kind in zip(rows.astype(int), itertools.cycle(kinds)):
        left = np.concatenate([np.zeros(pixel, int), row])[: len(row)]
        corner = np.concatenate([np.zeros(pixel, int), above])[: len(row)]
        predicted = (
            np.zeros_like(row),
            left,
            above,
            (left + above) // 2,
            np.array([paeth(*three) for three in zip(left, above, corner)], int),
        )[kind]
        out += bytes([kind]) + ((row - predicted) % 256).astype(np.uint8).tobytes()
        above = row
    return out


def image_data(
    samples: np.ndarray, depth: int, interlaced: bool = False, kinds: Optional[list[int]] = None
) -> bytes:
    """The compressed rows of samples [height, width, channels]."""
    pixel = max(1, samples.shape[2] * depth // 8)
    parts = [samples]
    if interlaced:
        parts = [samples[y::down, x::across] for x, y, across, down in PASSES]
    raw = b"".join(
        filtered(packed(part, depth), pixel, kinds or [0]) for part in parts if part.size
    )
    return zlib.compress(raw, 9)


def png(
    samples: np.ndarray,
    depth: int,
    colour: int,
    *,
    interlaced: bool = False,
    kinds: Optional[list[int]] = None,
    extra: bytes = b"",
    after: bytes = b"",
    pieces: int = 1,
) -> bytes:
    """A file of samples; EXTRA stands before the image's data, BEHIND after it."""
    samples = samples.reshape(*samples.shape[:2], -1)
    height, width, channels = samples.shape
    assert channels == SAMPLES[colour]
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    data = image_data(samples, depth, interlaced, kinds)
    step = -(-len(data) // pieces)
    body = b"".join(chunk(b"IDAT", data[at : at + step]) for at in range(0, len(data), step))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + body + after + chunk(b"IEND", b"")


def palette_of(count: int) -> tuple[np.ndarray, bytes]:
    """The picture's indices, and COUNT colours."""
    image = Image.fromarray(picture(*SIZE)).quantize(count)
    return np.asarray(image), image.palette.tobytes()[: 3 * count].ljust(3 * count, b"\0")


def wide(samples: np.ndarray) -> np.ndarray:
    """Numbers of 16 bits whose low bytes count."""
    numbers = samples.astype("u2") * 256 + 77
    numbers.reshape(-1)[:6] = [0, 128, 129, 255, 65535, 65407]
    return numbers


def kinds_of_pixels() -> dict[str, bytes]:
    """Every colour type and depth, interlaced and not."""
    files = {}
    rgb, gray, alpha = picture(*SIZE), gray_picture(*SIZE), alpha_picture(*SIZE)
    for interlaced in (False, True):
        end = "-interlaced.png" if interlaced else ".png"
        for depth in (1, 2, 4, 8):
            made = png(gray >> (8 - depth), depth, GRAY, interlaced=interlaced)
            files[f"gray-{depth}-bits{end}"] = made
            indices, colours = palette_of(1 << depth)
            files[f"palette-{depth}-bits{end}"] = png(
                indices, depth, PALETTE, interlaced=interlaced, extra=chunk(b"PLTE", colours)
            )
        files[f"gray-16-bits{end}"] = png(wide(gray), 16, GRAY, interlaced=interlaced)
        SIXTEEN_BIT_GRAY.add(f"gray-16-bits{end}")
        for name, samples, colour in (
            ("rgb", rgb, RGB),
            ("gray-alpha", np.dstack([gray, alpha]), GRAY_ALPHA),
            ("rgba", np.dstack([rgb, alpha]), RGBA),
        ):
            files[f"{name}-8-bits{end}"] = png(samples, 8, colour, interlaced=interlaced)
            files[f"{name}-16-bits{end}"] = png(wide(samples), 16, colour, interlaced=interlaced)
    for width, height in ((1, 1), (3, 1), (1, 5), (4, 4), (5, 9)):
        files[f"size-{width}x{height}-interlaced.png"] = png(
            picture(height, width), 8, RGB, interlaced=True
        )
    files["gray-1-bits-size-9x3.png"] = png(gray_picture(3, 9) > 127, 1, GRAY)
    return files


def transparent() -> dict[str, bytes]:
    """Transparency by a chunk of its own, which does not change the colours."""
    files = {}
    rgb, gray = picture(*SIZE), gray_picture(*SIZE)
    one = struct.pack(">H", int(gray[8, 8]))
    files["gray-8-bits-transparent.png"] = png(gray, 8, GRAY, extra=chunk(b"tRNS", one))
    for depth in (1, 2, 4):
        files[f"gray-{depth}-bits-transparent.png"] = png(
            gray >> (8 - depth), depth, GRAY, extra=chunk(b"tRNS", b"\0\1")
        )
    numbers = wide(gray)
    files["gray-16-bits-transparent.png"] = png(
        numbers, 16, GRAY, extra=chunk(b"tRNS", struct.pack(">H", int(numbers[8, 8])))
    )
    SIXTEEN_BIT_GRAY.add("gray-16-bits-transparent.png")
    three = struct.pack(">HHH", *map(int, rgb[8, 8]))
    files["rgb-8-bits-transparent.png"] = png(rgb, 8, RGB, extra=chunk(b"tRNS", three))
    three = struct.pack(">HHH", *map(int, wide(rgb)[8, 8]))
    files["rgb-16-bits-transparent.png"] = png(wide(rgb), 16, RGB, extra=chunk(b"tRNS", three))
    for depth in (1, 2, 4, 8):
        indices, colours = palette_of(1 << depth)
        for label, opacities in (("one-colour", b"\xff\0"), ("ramp", bytes(range(1 << depth)))):
            files[f"palette-{depth}-bits-transparent-{label}.png"] = png(
                indices, depth, PALETTE, extra=chunk(b"PLTE", colours) + chunk(b"tRNS", opacities)
            )
    return files


def filters() -> dict[str, bytes]:
    """Each filter, all of them in turn, for pixels of every size."""
    files = {}
    rgb, gray, alpha = picture(*SIZE), gray_picture(*SIZE), alpha_picture(*SIZE)
    for kind, name in enumerate(("none", "sub", "up", "average", "paeth")):
        files[f"filter-{name}-rgb.png"] = png(rgb, 8, RGB, kinds=[kind])
        files[f"filter-{name}-gray-4-bits.png"] = png(gray >> 4, 4, GRAY, kinds=[kind])
    everything = [4, 3, 2, 1, 0]
    files["filters-in-turn-gray.png"] = png(gray, 8, GRAY, kinds=everything)
    files["filters-in-turn-rgba-16-bits.png"] = png(
        wide(np.dstack([rgb, alpha])), 16, RGBA, kinds=everything
    )
    files["filters-in-turn-gray-alpha.png"] = png(
        np.dstack([gray, alpha]), 8, GRAY_ALPHA, kinds=everything
    )
    files["filters-in-turn-rgb-interlaced.png"] = png(
        rgb, 8, RGB, kinds=everything, interlaced=True
    )
    files["filters-in-turn-gray-16-bits.png"] = png(wide(gray), 16, GRAY, kinds=everything)
    SIXTEEN_BIT_GRAY.add("filters-in-turn-gray-16-bits.png")
    return files


def chunks() -> dict[str, bytes]:
    """Chunks besides the image, most of which change nothing."""
    files = {}
    rgb = picture(*SIZE)
    exif = Image.Exif()
    exif[0x0112] = 6
    orientation = chunk(b"eXIf", exif.tobytes()[6:])
    extras = {
        "gamma": chunk(b"gAMA", struct.pack(">I", 45455)),
        "gamma-1": chunk(b"gAMA", struct.pack(">I", 100000)),
        "srgb": chunk(b"sRGB", b"\0"),
        "icc-profile": chunk(b"iCCP", b"A profile\0\0" + zlib.compress(bytes(range(200)))),
        "exif-orientation-6": orientation,
        "text": chunk(b"tEXt", b"Comment\0A text."),
        "background": chunk(b"bKGD", struct.pack(">HHH", 1, 2, 3)),
        "suggested-palette": chunk(b"PLTE", bytes(range(30))),
        "significant-bits": chunk(b"sBIT", b"\5\6\5"),
        "resolution": chunk(b"pHYs", struct.pack(">IIB", 2835, 2835, 1)),
        "private-chunk": chunk(b"prVt", b"anything"),
        "wrong-checksum-of-text": chunk(b"tEXt", b"Comment\0A text.", crc=1),
        "wrong-checksum-of-gamma": chunk(b"gAMA", struct.pack(">I", 45455), crc=1),
        "wrong-checksum-of-private-chunk": chunk(b"prVt", b"anything", crc=1),
        "unknown-critical-chunk": chunk(b"CRit", b"anything"),
    }
    for name, extra in extras.items():
        files[f"with-{name}.png"] = png(rgb, 8, RGB, extra=extra)
    files["with-exif-orientation-6-after.png"] = png(rgb, 8, RGB, after=orientation)
    files["with-text-after.png"] = png(rgb, 8, RGB, after=extras["text"])
    files["with-wrong-checksum-of-text-after.png"] = png(
        rgb, 8, RGB, after=extras["wrong-checksum-of-text"]
    )
    gray_rgba = np.dstack([rgb, alpha_picture(*SIZE)])
    files["with-background-rgba.png"] = png(gray_rgba, 8, RGBA, extra=extras["background"])
    files["data-in-7-chunks.png"] = png(rgb, 8, RGB, pieces=7)
    files["data-in-chunks-of-1-byte.png"] = png(picture(3, 5), 8, RGB, pieces=10000)
    whole = png(rgb, 8, RGB)
    at = whole.index(b"IDAT") - 4
    files["data-after-an-empty-chunk.png"] = whole[:at] + chunk(b"IDAT", b"") + whole[at:]
    files["bytes-after-the-end.png"] = whole + bytes(range(100))
    files["no-end-chunk.png"] = whole[:-12]
    broken = bytearray(whole)
    broken[-13] ^= 1
    files["wrong-checksum-of-data.png"] = bytes(broken)
    broken = bytearray(whole)
    broken[-17] ^= 1
    files["wrong-checksum-of-zlib.png"] = (
        bytes(broken[:at]) + chunk(b"IDAT", bytes(broken[at + 8 : -16])) + whole[-12:]
    )
    indices, colours = palette_of(16)
    files["palette-shorter-than-indices.png"] = png(
        indices, 8, PALETTE, extra=chunk(b"PLTE", colours[:30])
    )
    files["palette-of-3-colours-in-4-bits.png"] = png(
        indices % 3, 4, PALETTE, extra=chunk(b"PLTE", colours[:9])
    )
    files["palette-gray.png"] = png(
        gray_picture(*SIZE),
        8,
        PALETTE,
        extra=chunk(b"PLTE", bytes(n for n in range(256) for _ in "rgb")),
    )
    return files


def animated() -> dict[str, bytes]:
    """Animations: the default image is what is decoded."""
    files = {}
    rgb = picture(*SIZE)
    control = chunk(b"acTL", struct.pack(">II", 2, 0))

    def frame(number: int, width: int, height: int, x: int, y: int, blend: int = 0) -> bytes:
        values = (number, width, height, x, y, 1, 10, 0, blend)
        return chunk(b"fcTL", struct.pack(">IIIIIHHBB", *values))

    def data(number: int, samples: np.ndarray) -> bytes:
        return chunk(b"fdAT", struct.pack(">I", number) + image_data(samples, 8))

    turned = rgb[::-1]
    second = frame(1, *SIZE[::-1], 0, 0) + data(2, turned)
    files["animated-default-is-first.png"] = png(
        rgb, 8, RGB, extra=control + frame(0, *SIZE[::-1], 0, 0), after=second
    )
    both = frame(0, *SIZE[::-1], 0, 0) + data(1, turned)
    both += frame(2, 9, 8, 3, 4) + data(3, turned[:8, :9])
    files["animated-default-is-not-first.png"] = png(rgb, 8, RGB, extra=control, after=both)
    files["animated-rgba-blend-over.png"] = png(
        np.dstack([rgb, alpha_picture(*SIZE)]),
        8,
        RGBA,
        extra=control + frame(0, *SIZE[::-1], 0, 0, blend=1),
        after=frame(1, *SIZE[::-1], 0, 0) + data(2, np.dstack([turned, alpha_picture(*SIZE)])),
    )
    return files


def plain() -> dict[str, bytes]:
    """The kinds that most files are of, as Pillow writes them."""
    rgb, gray = Image.fromarray(picture()), Image.fromarray(gray_picture())
    alpha = Image.fromarray(alpha_picture())
    rgba, gray_alpha = rgb.copy(), gray.copy()
    rgba.putalpha(alpha)
    gray_alpha.putalpha(alpha)
    SIXTEEN_BIT_GRAY.add("gray16.png")
    images = {
        "rgb.png": rgb,
        "rgba.png": rgba,
        "gray.png": gray,
        "gray-alpha.png": gray_alpha,
        "black-and-white.png": gray.convert("1"),
        "gray16.png": Image.fromarray(wide(gray_picture())),
    }
    files = {name: encode(image, "PNG") for name, image in images.items()}
    files["palette.png"] = encode(rgb.quantize(32), "PNG", transparency=3)
    return files


def files() -> dict[str, bytes]:
    """Every PNG by name."""
    merged = {}
    for group in (plain(), kinds_of_pixels(), transparent(), filters(), chunks(), animated()):
        assert not merged.keys() & group.keys()
        merged |= group
    return merged
