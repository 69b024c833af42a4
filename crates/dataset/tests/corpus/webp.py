"""WebP: lossy, lossless, with opacity, animated, and with chunks besides the image."""

import struct

import numpy as np
from PIL import Image

from common import alpha_picture, encode, picture, ppm, run

SIZE = (17, 18)
SIXTEEN_BIT_GRAY = frozenset()
MISREAD: dict[str, str] = {}
REFUSED = {
    "cut-off.webp": "ends within its image",
}


def cwebp(pixels: np.ndarray, *options: str) -> bytes:
    """RGB or RGBA by libwebp's command line program."""
    image = ppm(pixels) if pixels.shape[2] == 3 else encode(Image.fromarray(pixels), "PNG")
    return run(["cwebp", "-quiet", *options, "-o", "-", "--", "-"], image)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk, padded to an even number of bytes."""
    return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a file as (kind, data)."""
    at, found = 12, []
    while at < len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        found.append((data[at : at + 4], data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    return found


def file(*parts: bytes) -> bytes:
    """A file of chunks."""
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def extended(flags: int, width: int, height: int) -> bytes:
    """The chunk in front of animations, opacity and metadata."""
    sizes = b"".join(struct.pack("<I", size - 1)[:3] for size in (width, height))
    return chunk(b"VP8X", struct.pack("<I", flags) + sizes)


def image_chunks(data: bytes) -> bytes:
    """The chunks that hold an image's pixels."""
    kinds = (b"ALPH", b"VP8 ", b"VP8L")
    return b"".join(chunk(kind, body) for kind, body in chunks(data) if kind in kinds)


def rgba(size: tuple[int, int] = SIZE) -> np.ndarray:
    """The picture with opacity, some of it 0 and some 255, uint8 [height, width, 4]."""
    alpha = alpha_picture(*size).astype(int) * 3 // 2 - 60
    return np.dstack([picture(*size), alpha.clip(0, 255).astype(np.uint8)])


def lossy() -> dict[str, bytes]:
    """Lossy files: qualities, sizes, methods, filters."""
    files = {}
    sizes = {10: [(16, 16)], 50: [(17, 23)], 80: [(17, 23), (18, 24), (33, 17)], 100: [(17, 23)]}
    for quality, shapes in sizes.items():
        for height, width in shapes:
            files[f"lossy-quality-{quality}-{width}x{height}.webp"] = cwebp(
                picture(height, width), "-q", str(quality)
            )
    for method in (0, 2, 6):
        files[f"lossy-method-{method}.webp"] = cwebp(picture(*SIZE), "-q", "60", "-m", str(method))
    for strength, sharpness in ((0, 0), (30, 3), (100, 0), (100, 7)):
        for label, option in (("simple", "-nostrong"), ("normal", "-strong")):
            if strength == 0 and label == "normal":
                continue
            made = cwebp(
                picture(18, 24),
                *("-q", "30", "-f", str(strength), "-sharpness", str(sharpness), option),
            )
            name = f"lossy-{label}-filter-{strength}-sharpness-{sharpness}.webp"
            files["lossy-no-filter.webp" if strength == 0 else name] = made
    files["lossy-one-segment.webp"] = cwebp(picture(34, 34), "-q", "40", "-segments", "1")
    files["lossy-partition-limit.webp"] = cwebp(
        picture(*SIZE), "-q", "40", "-partition_limit", "90"
    )
    files["lossy-sharp-yuv.webp"] = cwebp(picture(*SIZE), "-q", "80", "-sharp_yuv")
    for width, height in ((1, 1), (1, 17), (17, 1), (2, 2), (16, 15)):
        files[f"lossy-size-{width}x{height}.webp"] = cwebp(picture(height, width), "-q", "80")
    return files


def opacity() -> dict[str, bytes]:
    """Opacity beside lossy and inside lossless colours, which `convert("RGB")` drops."""
    files = {}
    for method, name in (("0", "plain"), ("1", "compressed")):
        for kind in ("none", "fast", "best"):
            options = ("-q", "80", "-alpha_method", method, "-alpha_filter", kind)
            files[f"lossy-alpha-{name}-filter-{kind}.webp"] = cwebp(rgba(), *options)
    files["lossy-alpha-quality-20.webp"] = cwebp(rgba(), "-q", "80", "-alpha_q", "20")
    files["lossy-alpha-exact.webp"] = cwebp(rgba(), "-q", "80", "-exact")
    files["lossless-alpha.webp"] = cwebp(rgba(), "-lossless")
    files["lossless-alpha-exact.webp"] = cwebp(rgba(), "-lossless", "-exact")
    half = rgba()
    half[..., 3] = (half[..., 3] > 100) * 255
    files["lossless-alpha-of-0-and-255.webp"] = cwebp(half, "-lossless")
    opaque = rgba()
    opaque[..., 3] = 255
    files["lossless-alpha-all-255.webp"] = encode(Image.fromarray(opaque), "WEBP", lossless=True)
    # Every filter of the opacity's rows, without a compression.
    plain = chunks(files["lossy-alpha-plain-filter-none.webp"])
    alpha = rgba()[..., 3].astype(int)
    left = np.pad(alpha, ((0, 0), (1, 0)))[:, :-1]
    above = np.pad(alpha, ((1, 0), (0, 0)))[:-1]
    corner = np.pad(alpha, ((1, 0), (1, 0)))[:-1, :-1]
    left[1:, 0] = alpha[:-1, 0]
    above[0, 1:] = alpha[0, :-1]
    gradient = (left + above - corner).clip(0, 255)
    gradient[0], gradient[:, 0] = left[0], left[:, 0]
    for number, predicted in ((1, left), (2, above), (3, gradient)):
        data = bytes([number << 2]) + ((alpha - predicted) % 256).astype(np.uint8).tobytes()
        parts = [chunk(kind, data if kind == b"ALPH" else body) for kind, body in plain]
        files[f"lossy-alpha-plain-filter-{number}-by-hand.webp"] = file(*parts)
    return files


def lossless() -> dict[str, bytes]:
    """Lossless files: efforts, palettes of several lengths, gray, sizes."""
    files = {}
    image = Image.fromarray(picture(*SIZE))
    for level in (0, 3, 6, 9):
        files[f"lossless-level-{level}.webp"] = cwebp(picture(*SIZE), "-z", str(level))
    for count in (2, 4, 16, 256):
        colours = np.asarray(image.quantize(count).convert("RGB"))
        files[f"lossless-of-{count}-colours.webp"] = cwebp(colours, "-lossless")
    gray = np.asarray(image.convert("L").convert("RGB"))
    files["lossless-gray.webp"] = cwebp(gray, "-lossless")
    files["lossless-one-colour.webp"] = cwebp(np.full((5, 7, 3), 90, np.uint8), "-lossless")
    noise = np.random.default_rng(0).integers(0, 256, (13, 19, 3), np.uint8)
    files["lossless-noise.webp"] = cwebp(noise, "-lossless")
    files["near-lossless.webp"] = cwebp(picture(*SIZE), "-near_lossless", "40")
    repeated = np.tile(picture(6, 9), (3, 4, 1))
    files["lossless-repeated.webp"] = cwebp(repeated, "-z", "9")
    for width, height in ((1, 1), (1, 17), (17, 1)):
        files[f"lossless-size-{width}x{height}.webp"] = cwebp(picture(height, width), "-lossless")
    return files


def animated() -> dict[str, bytes]:
    """Animations, of which the first frame is decoded, on its canvas."""
    files = {}
    first = cwebp(picture(*SIZE), "-q", "80")
    second = cwebp(picture(*SIZE)[::-1], "-lossless")
    clear = cwebp(rgba(), "-lossless", "-exact")
    red = bytes([20, 30, 200, 255])  # Blue first.
    faint = bytes([20, 30, 200, 100])

    def frame(data: bytes, x: int = 0, y: int = 0, flags: int = 0) -> bytes:
        numbers = (x // 2, y // 2, SIZE[1] - 1, SIZE[0] - 1, 100)
        head = b"".join(struct.pack("<I", number)[:3] for number in numbers)
        return chunk(b"ANMF", head + bytes([flags]) + image_chunks(data))

    def animation(frames: list[bytes], colour: bytes, margin: int = 0, flags: int = 0x02) -> bytes:
        canvas = extended(flags, SIZE[1] + margin, SIZE[0] + margin)
        return file(canvas, chunk(b"ANIM", colour + b"\0\0"), *frames)

    files["animated.webp"] = animation([frame(first), frame(second)], red)
    files["animated-first-smaller.webp"] = animation([frame(first), frame(second)], red, 10)
    files["animated-first-shifted.webp"] = animation([frame(first, 6, 4), frame(second)], red, 10)
    files["animated-first-shifted-faint-background.webp"] = animation(
        [frame(first, 6, 4), frame(second)], faint, 10
    )
    files["animated-first-shifted-alpha-flag.webp"] = animation(
        [frame(first, 6, 4), frame(second)], red, 10, 0x12
    )
    files["animated-alpha-first-shifted.webp"] = animation(
        [frame(clear, 6, 4), frame(second)], red, 10, 0x12
    )
    files["animated-alpha.webp"] = animation([frame(clear), frame(second)], red, 0, 0x12)
    files["animated-alpha-without-blending.webp"] = animation(
        [frame(clear, flags=2), frame(second)], red, 0, 0x12
    )
    files["animated-disposed.webp"] = animation(
        [frame(first, 6, 4, flags=1), frame(second)], red, 10
    )
    files["animated-one-frame.webp"] = animation([frame(first, 6, 4)], red, 10)
    return files


def metadata() -> dict[str, bytes]:
    """Chunks besides the image, and bytes after it."""
    files = {}
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(picture(*SIZE))
    profile = bytes(range(200))
    files["lossy-exif-orientation-6.webp"] = encode(image, "WEBP", quality=80, exif=exif)
    files["lossless-exif-orientation-6.webp"] = encode(image, "WEBP", lossless=True, exif=exif)
    files["lossy-icc-profile.webp"] = encode(image, "WEBP", quality=80, icc_profile=profile)
    lossy_ = cwebp(picture(*SIZE), "-q", "80")
    canvas = extended(0, *SIZE[::-1])
    files["extended-without-need.webp"] = file(canvas, image_chunks(lossy_))
    files["unknown-chunk-in-front.webp"] = file(
        canvas, chunk(b"ABCD", b"anything"), image_chunks(lossy_)
    )
    files["unknown-chunk-after.webp"] = file(
        canvas, image_chunks(lossy_), chunk(b"ABCD", b"anything")
    )
    files["alpha-flag-without-alpha.webp"] = file(extended(0x10, *SIZE[::-1]), image_chunks(lossy_))
    with_alpha = cwebp(rgba(), "-q", "80")
    files["alpha-without-alpha-flag.webp"] = file(canvas, image_chunks(with_alpha))
    files["bytes-after.webp"] = lossy_ + bytes(range(50))
    files["cut-off.webp"] = lossy_[:-60]
    return files


def plain() -> dict[str, bytes]:
    """The kinds that most files are of, as Pillow writes them."""
    image = Image.fromarray(picture())
    return {
        "lossless.webp": encode(image, "WEBP", lossless=True),
        "lossy.webp": encode(image, "WEBP", quality=90),
    }


def files() -> dict[str, bytes]:
    """Every WebP by name."""
    merged = {}
    for group in (plain(), lossy(), opacity(), lossless(), animated(), metadata()):
        assert not merged.keys() & group.keys()
        merged |= group
    return merged
