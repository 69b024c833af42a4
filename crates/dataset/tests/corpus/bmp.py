"""BMP: depths, run-length coding, masks, headers, directions."""

import itertools
import struct

import numpy as np
from PIL import Image

from common import HEIGHT, WIDTH, alpha_picture, encode, gray_picture, picture

SIZE = (13, 19)
SIXTEEN_BIT_GRAY = frozenset()
MISREAD: dict[str, str] = {}
REFUSED = {
    "16-bits-masks-444.bmp": "Pillow knows the masks 555 and 565",
    "2-bits.bmp": "Pillow knows 1, 4, 8, 16, 24 and 32 bits",
    "32-bits-masks-of-10-bits.bmp": "Pillow knows masks of 8 bits, and not all orders of them",
    "32-bits-masks-gbr.bmp": "Pillow knows masks of 8 bits, and not all orders of them",
    "os2-2-header-of-16-bytes.bmp": "Pillow knows headers of 12, 40, 52, 56, 64, 108 and 124 bytes",
    "png-inside.bmp": "a compression that Pillow does not read",
    "rle4-cut-off.bmp": "ends before its last row",
    **{
        f"rle{bits}-{name}.bmp": reason
        for bits in (4, 8)
        for name, reason in (
            ("empty-rows", "Pillow passes over the end of a row without pixels"),
            ("image-ends-early", "Pillow fills rows, but not images, that end early"),
            ("no-row-ends", "Pillow drops what stands after a row's last pixel"),
        )
    },
    "v3-header-alpha-in-the-masks-compression.bmp": "a compression that Pillow does not read",
}


def rows_of(samples: np.ndarray, bits: int) -> list[bytes]:
    """Rows of samples [height, width, ...] padded to 4 bytes: indices, or bytes as they stand."""
    height = samples.shape[0]
    if bits >= 8:
        rows = [row.tobytes() for row in samples]
    else:
        digits = np.unpackbits(samples.astype(np.uint8).reshape(height, -1, 1), axis=-1)
        rows = [
            row.tobytes()
            for row in np.packbits(digits[..., 8 - bits :].reshape(height, -1), axis=1)
        ]
    return [row + bytes(-len(row) % 4) for row in rows]


def bmp(
    width: int,
    height: int,
    bits: int,
    data: bytes,
    *,
    compression: int = 0,
    colours: bytes = b"",
    used: int = 0,
    masks: tuple[int, ...] = (),
    header: int = 40,
    gap: int = 0,
) -> bytes:
    """A file of rows in DATA; HEIGHT is negative for rows from the top."""
    if header == 12:
        head = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        head = struct.pack(
            "<IiiHHIIiiII", header, width, height, 1, bits, compression, len(data), 0, 0, used, 0
        )
        packed = struct.pack(f"<{len(masks)}I", *masks)
        if header == 40:
            head += packed
        else:
            head = (head + packed).ljust(header, b"\0")
    offset = 14 + len(head) + len(colours) + gap
    start = struct.pack("<2sIHHI", b"BM", offset + len(data), 0, 0, offset)
    return start + head + colours + bytes(gap) + data


def from_bottom(rows: list[bytes]) -> bytes:
    """Rows as they usually stand."""
    return b"".join(reversed(rows))


def palette_of(count: int, entry: int = 4) -> tuple[np.ndarray, bytes]:
    """The picture's indices, and COUNT colours of ENTRY bytes, blue first."""
    image = Image.fromarray(picture(*SIZE)).quantize(count)
    colours = np.frombuffer(image.palette.tobytes()[: 3 * count].ljust(3 * count, b"\0"), np.uint8)
    table = np.zeros((count, entry), np.uint8)
    table[:, :3] = colours.reshape(-1, 3)[:, ::-1]
    return np.asarray(image), table.tobytes()


def palettes() -> dict[str, bytes]:
    """Indices of every depth, and palettes of every length."""
    files = {}
    height, width = SIZE
    for bits in (1, 2, 4, 8):
        indices, colours = palette_of(1 << bits)
        rows = rows_of(indices, bits)
        files[f"{bits}-bits.bmp"] = bmp(width, height, bits, from_bottom(rows), colours=colours)
        if bits == 2:
            continue
        files[f"{bits}-bits-from-the-top.bmp"] = bmp(
            width, -height, bits, b"".join(rows), colours=colours
        )
        _, short = palette_of(1 << bits, 3)
        files[f"os2-header-{bits}-bits.bmp"] = bmp(
            width, height, bits, from_bottom(rows), colours=short, header=12
        )
    indices, colours = palette_of(20)
    rows = from_bottom(rows_of(indices, 8))
    files["8-bits-palette-of-20.bmp"] = bmp(width, height, 8, rows, colours=colours, used=20)
    files["8-bits-palette-of-20-with-a-gap.bmp"] = bmp(
        width, height, 8, rows, colours=colours, used=20, gap=24
    )
    files["8-bits-palette-shorter-than-indices.bmp"] = bmp(
        width, height, 8, rows, colours=colours[:48], used=12
    )
    indices, colours = palette_of(10)
    files["4-bits-palette-of-10.bmp"] = bmp(
        width, height, 4, from_bottom(rows_of(indices, 4)), colours=colours, used=10
    )
    grays = b"".join(bytes([n, n, n, 0]) for n in range(256))
    inverted = b"".join(bytes([255 - n] * 3 + [0]) for n in range(256))
    gray = gray_picture(*SIZE)
    files["8-bits-gray.bmp"] = bmp(width, height, 8, from_bottom(rows_of(gray, 8)), colours=grays)
    files["8-bits-gray-inverted.bmp"] = bmp(
        width, height, 8, from_bottom(rows_of(gray, 8)), colours=inverted
    )
    for name, colours in (
        ("black-and-white", b"\0\0\0\0\xff\xff\xff\0"),
        ("white-and-black", b"\xff\xff\xff\0\0\0\0\0"),
    ):
        rows = from_bottom(rows_of(gray > 127, 1))
        files[f"1-bits-{name}.bmp"] = bmp(width, height, 1, rows, colours=colours)
    for count in (31, 32, 33):
        digits = gray_picture(5, count) > 127
        files[f"1-bits-width-{count}.bmp"] = bmp(
            count, 5, 1, from_bottom(rows_of(digits, 1)), colours=b"\x10\x20\x30\0\xf0\xe0\xd0\0"
        )
    return files


def runs(indices: np.ndarray, bits: int) -> bytes:
    """Rows as runs, from the bottom."""
    out = b""
    for row in indices[::-1]:
        for value, group in itertools.groupby(row.tolist()):
            count = len(list(group))
            out += bytes([count, value if bits == 8 else value << 4 | value])
        out += b"\0\0"
    return out + b"\0\1"


def run_lengths() -> dict[str, bytes]:
    """Runs, absolute runs, skips, and ends that come early."""
    files = {}
    height, width = SIZE
    for bits, compression in ((8, 1), (4, 2)):
        indices, colours = palette_of(16)
        indices = indices.copy()
        options = {"compression": compression, "colours": colours, "used": 16}

        def made(data: bytes, bits: int = bits, options: dict = options) -> bytes:
            return bmp(width, height, bits, data, **options)

        name = f"rle{bits}"
        files[f"{name}.bmp"] = made(runs(indices, bits))
        absolute = b""
        for row in indices[::-1]:
            # The first 5 pixels are a run of two colours, or five runs; the others are absolute.
            if bits == 8:
                absolute += b"".join(bytes([1, value]) for value in row[:5].tolist())
                body = row[5:].tobytes()
            else:
                absolute += bytes([5, int(row[0]) << 4 | int(row[1])])
                body = rows_of(row[None, 5:], 4)[0][: (width - 5 + 1) // 2]
            absolute += bytes([0, width - 5]) + body + bytes(len(body) % 2) + b"\0\0"
        files[f"{name}-absolute.bmp"] = made(absolute + b"\0\1")
        odd = b""
        for row in indices[::-1]:
            for at in range(0, width, 3):
                part = row[at : at + 3]
                if len(part) < 3:
                    odd += b"".join(bytes([1, v if bits == 8 else v << 4]) for v in part.tolist())
                    continue
                body = part.tobytes() if bits == 8 else rows_of(part[None], 4)[0][:2]
                odd += b"\0\3" + body + bytes(len(body) % 2)
            odd += b"\0\0"
        files[f"{name}-absolute-of-3.bmp"] = made(odd + b"\0\1")
        run = bytes([6, 0x53 if bits == 4 else 5])
        files[f"{name}-rows-end-early.bmp"] = made((run + b"\0\0") * height + b"\0\1")
        files[f"{name}-image-ends-early.bmp"] = made((run + b"\0\0") * 4 + run + b"\0\1")
        files[f"{name}-skips-right.bmp"] = made(
            (run + b"\0\2\4\0" + run + b"\0\0") * height + b"\0\1"
        )
        line = run + b"\0\0"
        files[f"{name}-skips-up.bmp"] = made(
            run + b"\0\2\0\3" + run + b"\0\2\2\2" + line * (height - 5) + b"\0\1"
        )
        files[f"{name}-skips-up-after-a-row.bmp"] = made(
            line + b"\0\2\5\2" + line * (height - 3) + b"\0\1"
        )
        files[f"{name}-skips-to-the-end.bmp"] = made(
            line + b"\0\2" + bytes([width - 1, height - 3]) + b"\0\2\0\1\1\5\0\1"
        )
        files[f"{name}-empty-rows.bmp"] = made(
            line * 3 + b"\0\0" * 2 + line * (height - 5) + b"\0\1"
        )
        full = runs(indices, bits)
        files[f"{name}-no-end-mark.bmp"] = made(full[:-2])
        files[f"{name}-no-row-ends.bmp"] = made(
            b"".join(
                bytes([1, value if bits == 8 else value << 4])
                for value in indices[::-1].reshape(-1).tolist()
            )
            + b"\0\1"
        )
        files[f"{name}-run-longer-than-the-row.bmp"] = made(
            (bytes([width + 5, 0x53 if bits == 4 else 5]) + b"\0\0") * height + b"\0\1"
        )
        if bits == 4:
            files[f"{name}-cut-off.bmp"] = made(full[: len(full) // 2])
    return files


def true_colours() -> dict[str, bytes]:
    """Numbers of 16, 24 and 32 bits, and the masks that tell what they hold."""
    files = {}
    height, width = SIZE
    rgb = picture(*SIZE).astype(np.uint32)
    alpha = alpha_picture(*SIZE).astype(np.uint32)
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]

    def put(name: str, bits: int, numbers: np.ndarray, **options: object) -> None:
        rows = rows_of(numbers.astype({16: "<u2", 32: "<u4"}[bits]), bits)
        data = b"".join(rows) if options.pop("top", False) else from_bottom(rows)
        sign = -1 if name.endswith("top") else 1
        files[f"{name}.bmp"] = bmp(width, sign * height, bits, data, **options)

    five = (red >> 3) << 10 | (green >> 3) << 5 | blue >> 3
    put("16-bits", 16, five)
    put("16-bits-with-highest-bit", 16, five | 0x8000)
    put("16-bits-masks-555", 16, five, compression=3, masks=(0x7C00, 0x3E0, 0x1F))
    six = (red >> 3) << 11 | (green >> 2) << 5 | blue >> 3
    put("16-bits-masks-565", 16, six, compression=3, masks=(0xF800, 0x7E0, 0x1F))
    put(
        "16-bits-masks-565-from-the-top",
        16,
        six,
        compression=3,
        masks=(0xF800, 0x7E0, 0x1F),
        top=True,
    )
    put("16-bits-masks-565-v4", 16, six, compression=3, masks=(0xF800, 0x7E0, 0x1F), header=108)
    four = (red >> 4) << 8 | (green >> 4) << 4 | blue >> 4
    put("16-bits-masks-444", 16, four, compression=3, masks=(0xF00, 0xF0, 0xF))
    ramp = np.arange(width * height).reshape(height, width) * 65535 // (width * height)
    put("16-bits-every-level", 16, ramp & 0x7FFF)
    put("16-bits-every-level-565", 16, ramp, compression=3, masks=(0xF800, 0x7E0, 0x1F))

    bgr = picture(*SIZE)[..., ::-1]
    rows = rows_of(bgr, 24)
    files["24-bits.bmp"] = bmp(width, height, 24, from_bottom(rows))
    files["24-bits-from-the-top.bmp"] = bmp(width, -height, 24, b"".join(rows))
    files["24-bits-with-a-gap.bmp"] = bmp(width, height, 24, from_bottom(rows), gap=20)
    files["24-bits-with-a-palette.bmp"] = bmp(
        width, height, 24, from_bottom(rows), colours=bytes(40), used=10
    )
    files["os2-header-24-bits.bmp"] = bmp(width, height, 24, from_bottom(rows), header=12)
    for header in (52, 56, 64, 108, 124):
        files[f"header-of-{header}-bytes-24-bits.bmp"] = bmp(
            width, height, 24, from_bottom(rows), header=header
        )
    files["24-bits-bytes-after.bmp"] = files["24-bits.bmp"] + bytes(range(50))
    small = files["24-bits.bmp"]
    files["24-bits-size-of-data-0.bmp"] = small[:34] + bytes(4) + small[38:]
    files["24-bits-size-of-file-0.bmp"] = small[:2] + bytes(4) + small[6:]
    for count in (1, 2, 3, 4):
        part = picture(3, count)[..., ::-1]
        files[f"24-bits-width-{count}.bmp"] = bmp(count, 3, 24, from_bottom(rows_of(part, 24)))
    files["os2-2-header-of-16-bytes.bmp"] = (
        struct.pack("<2sIHHI", b"BM", 30 + len(from_bottom(rows)), 0, 0, 30)
        + struct.pack("<IIIHH", 16, width, height, 1, 24)
        + from_bottom(rows)
    )

    plain = red << 16 | green << 8 | blue
    put("32-bits", 32, plain)
    put("32-bits-from-the-top", 32, plain, top=True)
    put("32-bits-with-numbers-in-the-fourth-byte", 32, plain | alpha << 24)
    usual = (0xFF0000, 0xFF00, 0xFF)
    put("32-bits-masks-888", 32, plain | alpha << 24, compression=3, masks=usual)
    put(
        "32-bits-masks-8888-v3",
        32,
        plain | alpha << 24,
        compression=3,
        masks=(*usual, 0xFF000000),
        header=56,
    )
    put(
        "32-bits-masks-8888-v4",
        32,
        plain | alpha << 24,
        compression=3,
        masks=(*usual, 0xFF000000),
        header=108,
    )
    put(
        "32-bits-masks-8888-v5",
        32,
        plain | alpha << 24,
        compression=3,
        masks=(*usual, 0xFF000000),
        header=124,
    )
    put(
        "32-bits-masks-8888-v5-alpha-0",
        32,
        plain,
        compression=3,
        masks=(*usual, 0xFF000000),
        header=124,
    )
    put(
        "32-bits-v4-no-masks-compression",
        32,
        plain | alpha << 24,
        masks=(*usual, 0xFF000000),
        header=108,
    )
    put("32-bits-masks-8888-v2", 32, plain, compression=3, masks=usual, header=52)
    put(
        "v3-header-alpha-in-the-masks-compression",
        32,
        plain | alpha << 24,
        compression=6,
        masks=(*usual, 0xFF000000),
        header=56,
    )
    put(
        "32-bits-masks-rgba",
        32,
        blue << 16 | green << 8 | red | alpha << 24,
        compression=3,
        masks=(0xFF, 0xFF00, 0xFF0000, 0xFF000000),
        header=108,
    )
    put("32-bits-masks-xbgr", 32, plain << 8, compression=3, masks=(0xFF000000, 0xFF0000, 0xFF00))
    put(
        "32-bits-masks-abgr",
        32,
        plain << 8 | alpha,
        compression=3,
        masks=(0xFF000000, 0xFF0000, 0xFF00, 0xFF),
        header=108,
    )
    put(
        "32-bits-masks-bgar",
        32,
        red << 24 | green << 8 | blue | alpha << 16,
        compression=3,
        masks=(0xFF000000, 0xFF00, 0xFF, 0xFF0000),
        header=108,
    )
    put(
        "32-bits-masks-all-0",
        32,
        plain | alpha << 24,
        compression=3,
        masks=(0, 0, 0, 0),
        header=108,
    )
    put(
        "32-bits-masks-gbr",
        32,
        green << 16 | blue << 8 | red,
        compression=3,
        masks=(0xFF, 0xFF0000, 0xFF00),
    )
    put(
        "32-bits-masks-of-10-bits",
        32,
        red << 22 | green << 12 | blue << 2,
        compression=3,
        masks=(0x3FF00000, 0xFFC00, 0x3FF),
    )
    inside = encode(Image.fromarray(picture(*SIZE)), "PNG")
    files["png-inside.bmp"] = bmp(width, height, 24, inside, compression=5)
    return files


def files() -> dict[str, bytes]:
    """Every BMP by name."""
    rgb = Image.fromarray(picture(HEIGHT, WIDTH))
    merged = {"rgb.bmp": encode(rgb, "BMP")}
    for group in (palettes(), run_lengths(), true_colours()):
        assert not merged.keys() & group.keys()
        merged |= group
    return merged
