"""TIFF: layouts, kinds of numbers, colours, compressions, bit orders, orientations, pages."""

import itertools
import struct

import numpy as np
from PIL import Image

import tiff_writer as t
from common import alpha_picture, encode, gray_picture, picture
from jpeg_markers import parts
from tiff_writer import LONG, SHORT, document, page

SIZE = (17, 18)
SIXTEEN_BIT_GRAY = set()
# Files that Pillow does not refuse but decodes to something else than they hold, and others with
# the same picture that it decodes.
MISREAD = {
    # Pillow takes every byte of uncompressed planes of 16 bits for a number.
    "rgb-16-bits-planes.tif": "rgb-16-bits-planes-lzw.tif",
    # Pillow does not turn black and white round.
    "gray-16-bits-ii-min-is-white.tif": "gray-16-bits-ii-inverted.tif",
    "gray-16-bits-ii-min-is-white-lzw.tif": "gray-16-bits-ii-inverted.tif",
    # Pillow takes the processor's order of bytes for the file's.
    "gray-float-32-mm-deflate-predictor-3.tif": "gray-float-32-ii-deflate-predictor-3.tif",
}
REFUSED = {
    **dict.fromkeys(
        (
            "cmyk-with-alpha.tif",
            "fill-order-2-gray-16-bits-mm.tif",
            "gray-16-bits-mm-min-is-white.tif",
            "gray-16-bits-mm-min-is-white-lzw.tif",
            "gray-32-bits-mm.tif",
            "gray-alpha-extra-2-16-bits.tif",
            "gray-alpha-no-extra-tag.tif",
            "gray-float-16-ii.tif",
            "gray-float-16-mm.tif",
            "gray-float-64-ii.tif",
            "gray-float-64-mm.tif",
            "no-photometric.tif",
            "rgb-32-bits.tif",
            "rgb-4-bits.tif",
            "rgb-float-32.tif",
            "unknown-photometric.tif",
        ),
        "not in Pillow's table of kinds of pixels",
    ),
    "gray-alpha-extra-1.tif": "Pillow does not convert premultiplied gray",
    "no-samples-per-pixel-rgb.tif": "three samples of a pixel that is said to have one",
    "palette-missing.tif": "has no palette",
    "rgb-bigtiff-mm.tif": "Pillow knows BigTIFF by its third byte, which is II's",
    "rgb-bigtiff-mm-lzw.tif": "Pillow knows BigTIFF by its third byte, which is II's",
    "jpeg-ycbcr-2x2-marked-as-rgb.tif": "libtiff knows no RGB with subsampling",
    "rgb-five-samples-alpha-second.tif": "alpha is not the first extra sample",
    "rgb-five-samples-no-extra-tag.tif": "nothing says what the samples are",
    "rgb-webp.tif": "Pillow's libtiff is built without WebP",
    "ycbcr-2x1.tif": "Pillow does not know subsampling without a compression",
    "ycbcr-2x2.tif": "Pillow does not know subsampling without a compression",
}


def words(*found: str) -> str:
    """A file's name of those words that are not empty."""
    return "-".join(word for word in found if word) + ".tif"


def layouts() -> dict[str, bytes]:
    """Byte orders, strips, tiles, planes."""
    files = {}
    rgb, gray = picture(*SIZE), gray_picture(*SIZE)
    for order, name in (("<", "ii"), (">", "mm")):
        files[f"rgb-{name}-one-strip.tif"] = document(page(rgb, order=order), order=order)
        files[f"rgb-{name}-strips-last-short.tif"] = document(
            page(rgb, rows=5, order=order), order=order
        )
        files[f"rgb-{name}-tiles.tif"] = document(
            page(rgb, tile=(16, 16), order=order), order=order
        )
        files[f"rgb-{name}-planes.tif"] = document(page(rgb, planar=2, order=order), order=order)
    files["rgb-strips-of-one-row.tif"] = document(page(rgb, rows=1))
    files["rgb-planes-strips-last-short.tif"] = document(page(rgb, planar=2, rows=6))
    files["rgb-planes-tiles.tif"] = document(page(rgb, planar=2, tile=(16, 16)))
    files["rgb-one-tile-larger-than-the-image.tif"] = document(page(rgb, tile=(32, 32)))
    files["gray-tiles.tif"] = document(page(gray, 8, t.MIN_IS_BLACK, tile=(16, 16)))
    files["gray-tiles-wide.tif"] = document(page(gray, 8, t.MIN_IS_BLACK, tile=(16, 48)))
    files["gray-1-bit-tiles.tif"] = document(page(gray > 127, 1, t.MIN_IS_BLACK, tile=(16, 16)))
    files["rgb-lzw-tiles.tif"] = document(page(rgb, tile=(16, 16), compression=t.LZW))
    files["rgb-lzw-planes-strips.tif"] = document(page(rgb, planar=2, rows=6, compression=t.LZW))
    files["rgb-deflate-planes-tiles.tif"] = document(
        page(rgb, planar=2, tile=(16, 16), compression=t.DEFLATE)
    )
    rgba = np.dstack([rgb, alpha_picture(*SIZE)])
    files["rgba-planes.tif"] = document(page(rgba, planar=2, extra=[2]))
    files["rgba-planes-lzw.tif"] = document(page(rgba, planar=2, extra=[2], compression=t.LZW))
    files["rgb-16-bits-planes.tif"] = document(page(rgb.astype("u2") * 257, 16, planar=2))
    files["rgb-16-bits-planes-lzw.tif"] = document(
        page(rgb.astype("u2") * 257, 16, planar=2, compression=t.LZW)
    )
    files["rgb-bigtiff-ii.tif"] = document(page(rgb, rows=6), big=True)
    files["rgb-bigtiff-ii-lzw.tif"] = document(page(rgb, rows=6, compression=t.LZW), big=True)
    files["rgb-bigtiff-mm.tif"] = document(page(rgb, order=">"), order=">", big=True)
    files["rgb-bigtiff-mm-lzw.tif"] = document(
        page(rgb, order=">", compression=t.LZW), order=">", big=True
    )
    image = Image.fromarray(picture())
    files["plain.tif"] = encode(image, "TIFF")
    files["lzw.tiff"] = encode(image, "TIFF", compression="tiff_lzw")
    return files


def grays() -> dict[str, bytes]:
    """Gray of every depth and kind of number, black or white as zero."""
    files = {}
    gray = gray_picture(*SIZE)
    for bits, photometric in itertools.product((1, 2, 4, 8), (t.MIN_IS_BLACK, t.MIN_IS_WHITE)):
        name = words("gray", f"{bits}-bits", "" if photometric else "min-is-white")
        files[name] = document(page(gray >> (8 - bits), bits, photometric))
        name = words("gray", f"{bits}-bits", "" if photometric else "min-is-white", "lzw")
        files[name] = document(page(gray >> (8 - bits), bits, photometric, compression=t.LZW))
    wide = gray.astype("u2") * 256 + 77
    wide[0, :4] = [0, 65535, 128, 129]
    for order, photometric, compression in itertools.product(
        "<>", (t.MIN_IS_BLACK, t.MIN_IS_WHITE), (t.NONE, t.LZW)
    ):
        name = words(
            "gray-16-bits",
            {"<": "ii", ">": "mm"}[order],
            "" if photometric else "min-is-white",
            "lzw" if compression == t.LZW else "",
        )
        made = page(wide, 16, photometric, order=order, compression=compression)
        files[name] = document(made, order=order)
        SIXTEEN_BIT_GRAY.add(name)
    inverted = "gray-16-bits-ii-inverted.tif"
    files[inverted] = document(page(65535 - wide, 16, t.MIN_IS_BLACK))
    SIXTEEN_BIT_GRAY.add(inverted)
    files["gray-12-bits.tif"] = document(page(wide >> 4, 12, t.MIN_IS_BLACK))
    # Of these, Pillow cuts off what is below 0 or above 255.
    numbers = {
        "gray-32-bits": (gray.astype("u4") * 2, 1),
        "gray-signed-8-bits": (gray.view("i1"), 2),
        "gray-signed-16-bits": (gray.astype("i2") * 2 - 100, 2),
        "gray-signed-32-bits": (gray.astype("i4") * 2 - 100, 2),
        "gray-float-16": (gray.astype("f2"), 3),
        "gray-float-32": (gray.astype("f4") * 1.5 - 50.25, 3),
        "gray-float-64": (gray.astype("f8"), 3),
    }
    for (name, (samples, kind)), order in itertools.product(numbers.items(), "<>"):
        bits = 8 * samples.dtype.itemsize
        if bits == 8 and order == ">":
            continue
        made = page(samples, bits, t.MIN_IS_BLACK, sample_format=kind, order=order)
        files[words(name, {"<": "ii", ">": "mm"}[order])] = document(made, order=order)
    unit = gray.astype("f4") / 255
    files["gray-float-32-of-0-to-1.tif"] = document(page(unit, 32, t.MIN_IS_BLACK, sample_format=3))
    files["gray-float-32-min-is-white.tif"] = document(
        page(gray.astype("f4"), 32, t.MIN_IS_WHITE, sample_format=3)
    )
    files["float.tif"] = encode(Image.fromarray(picture().astype(np.float32)[..., 0]), "TIFF")
    alpha = np.dstack([gray, alpha_picture(*SIZE)])
    for extra in (0, 1, 2):
        files[f"gray-alpha-extra-{extra}.tif"] = document(
            page(alpha, 8, t.MIN_IS_BLACK, extra=[extra])
        )
    files["gray-alpha-no-extra-tag.tif"] = document(page(alpha, 8, t.MIN_IS_BLACK))
    files["gray-alpha-extra-2-lzw.tif"] = document(
        page(alpha, 8, t.MIN_IS_BLACK, extra=[2], compression=t.LZW)
    )
    files["gray-alpha-extra-2-16-bits.tif"] = document(
        page(alpha.astype("u2") * 257, 16, t.MIN_IS_BLACK, extra=[2])
    )
    return files


def palettes() -> dict[str, bytes]:
    """Palettes of every depth."""
    files = {}
    for bits in (1, 2, 4, 8):
        count = 1 << bits
        image = Image.fromarray(picture(*SIZE)).quantize(count)
        colours = np.frombuffer(image.palette.tobytes().ljust(3 * count, b"\0"), np.uint8)
        colormap = colours[: 3 * count].reshape(count, 3).T.reshape(-1).astype(int)
        indices = np.asarray(image)
        tag = (SHORT, (colormap * 257).tolist())
        for compression, label in ((t.NONE, ""), (t.LZW, "lzw")):
            made = page(indices, bits, t.PALETTE, compression=compression, t320=tag)
            files[words("palette", f"{bits}-bits", label)] = document(made)
    files["palette-8-bits-mm-tiles.tif"] = document(
        page(indices, 8, t.PALETTE, tile=(16, 16), order=">", t320=tag), order=">"
    )
    files["palette-missing.tif"] = document(page(indices, 8, t.PALETTE))
    return files


def colours() -> dict[str, bytes]:
    """RGB and RGBA of several depths, CMYK, Lab, YCbCr."""
    files = {}
    rgb, alpha = picture(*SIZE), alpha_picture(*SIZE)
    wide = rgb.astype("u2") * 256 + 77
    for order in "<>":
        name = {"<": "ii", ">": "mm"}[order]
        for compression, label in ((t.NONE, ""), (t.LZW, "lzw")):
            files[words("rgb-16-bits", name, label)] = document(
                page(wide, 16, order=order, compression=compression), order=order
            )
    files["rgb-32-bits.tif"] = document(page(rgb.astype("u4") * 16843009, 32))
    files["rgb-float-32.tif"] = document(page(rgb.astype("f4") / 255, 32, sample_format=3))
    files["rgb-4-bits.tif"] = document(page(rgb >> 4, 4))
    multiplied = np.round(rgb * (alpha[..., None] / 255)).astype(np.uint8)
    premultiplied = np.dstack([multiplied, alpha])
    for extra in (0, 1, 2, None):
        label = "no-extra-tag" if extra is None else f"extra-{extra}"
        samples = premultiplied if extra == 1 else np.dstack([rgb, alpha])
        tag = None if extra is None else [extra]
        files[f"rgba-{label}.tif"] = document(page(samples, extra=tag))
        files[f"rgba-{label}-16-bits.tif"] = document(
            page(samples.astype("u2") * 257, 16, extra=tag)
        )
    files["rgba-extra-1-lzw.tif"] = document(page(premultiplied, extra=[1], compression=t.LZW))
    files["rgba-extra-1-colours-above-alpha.tif"] = document(
        page(np.dstack([rgb, alpha]), extra=[1])
    )
    for extra in ([0, 0], [1, 0], [2, 0]):
        label = "-".join(map(str, extra))
        files[f"rgb-two-extra-samples-{label}.tif"] = document(
            page(np.dstack([rgb, alpha, alpha[::-1]]), extra=extra)
        )
    cmyk = np.asarray(Image.fromarray(rgb).convert("CMYK")).copy()
    cmyk[..., 3] = alpha // 3
    files["cmyk.tif"] = document(page(cmyk, 8, t.CMYK))
    files["cmyk-lzw.tif"] = document(page(cmyk, 8, t.CMYK, compression=t.LZW))
    files["cmyk-planes.tif"] = document(page(cmyk, 8, t.CMYK, planar=2))
    files["cmyk-16-bits.tif"] = document(page(cmyk.astype("u2") * 257, 16, t.CMYK))
    files["cmyk-with-alpha.tif"] = document(page(np.dstack([cmyk, alpha]), 8, t.CMYK, extra=[2]))
    lab = np.dstack([gray_picture(*SIZE), rgb[..., 0] // 4, rgb[..., 1] // 4 + 192])
    files["lab.tif"] = document(page(lab, 8, t.LAB))
    files["lab-lzw.tif"] = document(page(lab, 8, t.LAB, compression=t.LZW))

    ycbcr = np.asarray(Image.fromarray(picture(16, 24)).convert("YCbCr"))
    for across, down in ((1, 1), (2, 1), (2, 2)):
        # Samples come in blocks: the luma of across x down pixels, then their chroma.
        blocks = ycbcr.reshape(16 // down, down, 24 // across, across, 3).transpose(0, 2, 1, 3, 4)
        luma = blocks[..., 0].reshape(*blocks.shape[:2], -1)
        data = np.concatenate([luma, blocks[:, :, 0, 0, 1:]], axis=-1).tobytes()
        tag = (SHORT, [across, down])
        for compression, label in ((t.NONE, ""), (t.LZW, "lzw")):
            made = page(ycbcr, 8, t.YCBCR, compression=compression, t530=tag)
            row = len(data) // (16 // down)
            made.pieces = [t.compressed(data, compression, row)]
            files[words("ycbcr", f"{across}x{down}", label)] = document(made)
    files["unknown-photometric.tif"] = document(page(rgb, photometric=32844))
    files["no-photometric.tif"] = document(page(rgb, t262=None))
    files["no-photometric-gray.tif"] = document(page(gray_picture(*SIZE), t262=None))
    return files


def compressions() -> dict[str, bytes]:
    """General compressions, with and without predictors."""
    files = {}
    rgb, gray = picture(*SIZE), gray_picture(*SIZE)
    general = {
        "packbits": t.PACKBITS,
        "lzw": t.LZW,
        "deflate": t.DEFLATE,
        "old-deflate": t.OLD_DEFLATE,
        "zstd": t.ZSTD,
        "lzma": t.LZMA,
    }
    for name, compression in general.items():
        files[f"rgb-{name}-strips.tif"] = document(page(rgb, rows=6, compression=compression))
    # So many codes that the table is full and is begun anew.
    noise = np.random.default_rng(4).integers(0, 256, (36, 42, 3), np.uint8)
    files["rgb-lzw-of-a-full-table.tif"] = document(page(noise, compression=t.LZW))
    files["rgb-webp.tif"] = document(
        page(
            rgb,
            compression=t.WEBP,
            coder=lambda piece: encode(Image.fromarray(piece), "WEBP", lossless=True),
        )
    )
    wide = (rgb.astype("u2") * 256) + np.arange(SIZE[1], dtype="u2")[:, None]
    for name in ("lzw", "deflate", "zstd"):
        files[f"rgb-{name}-predictor-2.tif"] = document(
            page(rgb, rows=6, compression=general[name], predictor=2)
        )
    files["gray-lzw-predictor-2.tif"] = document(
        page(gray, 8, t.MIN_IS_BLACK, compression=t.LZW, predictor=2)
    )
    files["rgba-lzw-predictor-2-tiles.tif"] = document(
        page(
            np.dstack([rgb, alpha_picture(*SIZE)]),
            extra=[2],
            compression=t.LZW,
            predictor=2,
            tile=(16, 16),
        )
    )
    five = np.dstack([rgb, alpha_picture(*SIZE), alpha_picture(*SIZE)])
    files["rgb-five-samples-alpha-second.tif"] = document(page(five, extra=[0, 1]))
    files["rgb-five-samples-no-extra-tag.tif"] = document(page(five))
    files["rgb-lzw-predictor-2-planes.tif"] = document(
        page(rgb, compression=t.LZW, predictor=2, planar=2)
    )
    # A predictor's tag where the compression has none: it does not count.
    for name, compression in {"uncompressed": t.NONE, "packbits": t.PACKBITS}.items():
        for predictor in (2, 3):
            files[f"rgb-{name}-predictor-{predictor}-tag.tif"] = document(
                page(rgb, rows=6, compression=compression, t317=(SHORT, [predictor]))
            )
    files["gray-1-bit-predictor-2-tag.tif"] = document(
        page((gray > 127).astype(np.uint8), 1, t.MIN_IS_BLACK, t317=(SHORT, [2]))
    )
    for order in "<>":
        name = {"<": "ii", ">": "mm"}[order]
        files[f"rgb-16-bits-{name}-lzw-predictor-2.tif"] = document(
            page(wide, 16, compression=t.LZW, predictor=2, order=order), order=order
        )
        gray_name = f"gray-16-bits-{name}-lzw-predictor-2.tif"
        files[gray_name] = document(
            page(wide[..., 0], 16, t.MIN_IS_BLACK, compression=t.LZW, predictor=2, order=order),
            order=order,
        )
        SIXTEEN_BIT_GRAY.add(gray_name)
        files[f"gray-float-32-{name}-deflate-predictor-3.tif"] = document(
            page(
                gray.astype("f4"),
                32,
                t.MIN_IS_BLACK,
                compression=t.DEFLATE,
                predictor=3,
                sample_format=3,
                order=order,
            ),
            order=order,
        )
    return files


def faxes() -> dict[str, bytes]:
    """The compressions of fax machines, and both orders of bits."""
    files = {}
    # Fine patterns, plain rows and long runs.
    digits = (gray_picture(21, 43) > 127).astype(np.uint8)
    digits[3:7] ^= (np.arange(43) % 2).astype(np.uint8)
    digits[10:12] = 1
    digits[12] = 0
    digits[16:19] = np.random.default_rng(0).integers(0, 2, (3, 43))
    forms = {
        "rle": (t.RLE, 0),
        "g3": (t.G3, 0),
        "g3-with-bytes-aligned": (t.G3, 4),
        "g3-2d": (t.G3, 1),
        "g3-2d-with-bytes-aligned": (t.G3, 5),
        "g4": (t.G4, 0),
    }
    for (name, (compression, options)), photometric, fill_order in itertools.product(
        forms.items(), (t.MIN_IS_WHITE, t.MIN_IS_BLACK), (1, 2)
    ):
        if (photometric == t.MIN_IS_BLACK) == (fill_order == 2) and "aligned" in name:
            continue
        label = words(
            "fax",
            name,
            "min-is-black" if photometric else "min-is-white",
            f"fill-order-{fill_order}" if fill_order == 2 else "",
        )
        files[label] = document(
            page(
                digits,
                1,
                photometric,
                compression=compression,
                fax_options=options,
                fill_order=fill_order,
            )
        )
    for name in ("rle", "g3", "g3-2d", "g4"):
        compression, options = forms[name]
        files[f"fax-{name}-strips.tif"] = document(
            page(digits, 1, t.MIN_IS_WHITE, compression=compression, fax_options=options, rows=8)
        )
    files["fax-g4-tiles.tif"] = document(
        page(digits, 1, t.MIN_IS_WHITE, compression=t.G4, tile=(16, 32))
    )
    long = np.zeros((1, 2640), np.uint8)
    long[0, 2565:] = 1
    files["fax-g4-long-run.tif"] = document(page(long, 1, t.MIN_IS_WHITE, compression=t.G4))
    without_photometric = page(digits, 1, t.MIN_IS_WHITE, compression=t.G4, t262=None)
    files["fax-g4-no-photometric.tif"] = document(without_photometric)

    gray, rgb = gray_picture(*SIZE), picture(*SIZE)
    codings = {"": t.NONE, "packbits": t.PACKBITS, "lzw": t.LZW, "deflate": t.DEFLATE}
    for name, compression in codings.items():
        for bits in (1, 2, 4, 8):
            if bits in {2, 4} and compression != t.NONE:
                continue
            files[words("fill-order-2", f"gray-{bits}-bits", name)] = document(
                page(
                    gray >> (8 - bits), bits, t.MIN_IS_BLACK, compression=compression, fill_order=2
                )
            )
        files[words("fill-order-2-rgb", name)] = document(
            page(rgb, compression=compression, fill_order=2)
        )
    files["fill-order-2-gray-1-bits-min-is-white.tif"] = document(
        page(gray > 127, 1, t.MIN_IS_WHITE, fill_order=2)
    )
    wide = gray.astype("u2") * 256 + 77
    for order in "<>":
        name = f"fill-order-2-gray-16-bits-{ {'<': 'ii', '>': 'mm'}[order] }.tif"
        files[name] = document(
            page(wide, 16, t.MIN_IS_BLACK, fill_order=2, order=order), order=order
        )
        SIXTEEN_BIT_GRAY.add(name)
    return files


def jpegs() -> dict[str, bytes]:
    """JPEG in strips and tiles, the new way and the old."""
    files = {}
    rgb, gray = picture(28, 20), gray_picture(28, 20)
    subsampled = (SHORT, [2, 2])
    forms = {
        "gray": (gray, t.MIN_IS_BLACK, {}, {}),
        "rgb": (rgb, t.RGB, {"keep_rgb": True}, {}),
        "ycbcr-1x1": (rgb, t.YCBCR, {"subsampling": 0}, {"t530": (SHORT, [1, 1])}),
        "ycbcr-2x1": (rgb, t.YCBCR, {"subsampling": 1}, {"t530": (SHORT, [2, 1])}),
        "ycbcr-2x2": (rgb, t.YCBCR, {"subsampling": 2}, {"t530": subsampled}),
    }
    for name, (samples, photometric, options, tags) in forms.items():

        def coder(piece: np.ndarray, options: dict = options) -> bytes:
            return t.jpeg_piece(piece, **options)

        for label, layout in (
            ("", {}),
            ("strips", {"rows": 16}),
            ("tiles", {"tile": (16, 16)}),
        ):
            if label and name in {"ycbcr-1x1", "ycbcr-2x1"}:
                continue
            made = page(samples, 8, photometric, compression=t.JPEG, coder=coder, **layout, **tags)
            files[words("jpeg", name, label)] = document(made)
            if label and name in {"gray", "rgb", "ycbcr-2x2"}:
                files[words("jpeg", name, label, "tables")] = document(t.with_jpeg_tables(made))
    files["jpeg-ycbcr-2x2-no-subsampling-tag.tif"] = document(
        page(rgb, 8, t.YCBCR, compression=t.JPEG, coder=t.jpeg_piece)
    )
    files["jpeg-by-libtiff-gray.tif"] = encode(Image.fromarray(gray), "TIFF", compression="jpeg")
    files["jpeg-by-libtiff-rgb.tif"] = encode(Image.fromarray(rgb), "TIFF", compression="jpeg")
    cmyk = Image.fromarray(rgb).convert("CMYK")
    files["jpeg-by-libtiff-cmyk.tif"] = encode(cmyk, "TIFF", compression="jpeg")
    files["jpeg-ycbcr-marked-as-rgb.tif"] = document(
        page(rgb, compression=t.JPEG, coder=lambda piece: t.jpeg_piece(piece, subsampling=0))
    )
    files["jpeg-ycbcr-2x2-marked-as-rgb.tif"] = document(
        page(rgb, compression=t.JPEG, coder=lambda piece: t.jpeg_piece(piece, subsampling=2))
    )
    planes = page(rgb, compression=t.JPEG, planar=2, coder=t.jpeg_piece)
    files["jpeg-rgb-planes.tif"] = document(planes)

    still = encode(Image.fromarray(rgb), "JPEG", quality=90)
    head = sum(len(part) for marker, part in parts(still) if marker not in {0xDA, 0xD9}) + 2
    old = page(rgb, 8, t.YCBCR, compression=t.OLD_JPEG, coder=lambda _: still, t530=subsampled)
    old.tags[512] = (SHORT, [1])
    old.tags_at = lambda offsets: {513: (LONG, offsets), 514: (LONG, [len(still)])}
    files["old-jpeg-whole-stream.tif"] = document(old)
    scan = page(rgb, 8, t.YCBCR, compression=t.OLD_JPEG, coder=lambda _: still, t530=subsampled)
    scan.tags[512] = (SHORT, [1])
    scan.tags_at = lambda offsets: {
        273: (LONG, [offsets[0] + head]),
        279: (LONG, [len(still) - head]),
        513: (LONG, offsets),
        514: (LONG, [len(still)]),
    }
    files["old-jpeg-strip-of-the-scan.tif"] = document(scan)
    return files


def orientations() -> dict[str, bytes]:
    """All eight orientations, which Pillow follows in TIFF."""
    files = {}
    rgb, gray = picture(*SIZE), gray_picture(*SIZE)
    for orientation in range(1, 9):
        tag = (SHORT, [orientation])
        files[f"orientation-{orientation}-rgb.tif"] = document(page(rgb, t274=tag))
    tag = (SHORT, [6])
    palette = Image.fromarray(rgb).quantize(64)
    colormap = np.frombuffer(palette.palette.tobytes().ljust(768, b"\0"), np.uint8).astype(int)
    colormap = (SHORT, (colormap.reshape(256, 3).T.reshape(-1) * 257).tolist())
    files["orientation-6-gray.tif"] = document(page(gray, 8, t.MIN_IS_BLACK, t274=tag))
    files["orientation-6-palette.tif"] = document(
        page(np.asarray(palette), 8, t.PALETTE, t320=colormap, t274=tag)
    )
    files["orientation-6-rgba.tif"] = document(
        page(np.dstack([rgb, alpha_picture(*SIZE)]), extra=[2], t274=tag)
    )
    files["orientation-6-gray-1-bits.tif"] = document(page(gray > 127, 1, t.MIN_IS_BLACK, t274=tag))
    wide = gray.astype("u2") * 256 + 77
    files["orientation-6-gray-16-bits.tif"] = document(page(wide, 16, t.MIN_IS_BLACK, t274=tag))
    SIXTEEN_BIT_GRAY.add("orientation-6-gray-16-bits.tif")
    for orientation in (3, 5, 6, 8):
        files[f"orientation-{orientation}-rgb-lzw-strips.tif"] = document(
            page(rgb, rows=5, compression=t.LZW, t274=(SHORT, [orientation]))
        )
    files["orientation-8-rgb-tiles.tif"] = document(page(rgb, tile=(16, 16), t274=(SHORT, [8])))
    files["orientation-6-fax-g4.tif"] = document(
        page(gray > 127, 1, t.MIN_IS_WHITE, compression=t.G4, t274=tag)
    )
    files["orientation-6-jpeg-ycbcr.tif"] = document(
        page(
            picture(24, 40),
            8,
            t.YCBCR,
            compression=t.JPEG,
            coder=t.jpeg_piece,
            t274=tag,
            t530=(SHORT, [2, 2]),
        )
    )
    for orientation in (0, 9):
        files[f"orientation-{orientation}-rgb.tif"] = document(
            page(rgb, t274=(SHORT, [orientation]))
        )
    return files


def pages() -> dict[str, bytes]:
    """Several pages, of which the first is decoded, and tags that are missing or written oddly."""
    files = {}
    rgb, gray = picture(*SIZE), gray_picture(*SIZE)
    files["two-pages.tif"] = document(page(rgb), page(gray, 8, t.MIN_IS_BLACK))
    files["two-pages-lzw.tif"] = document(
        page(rgb, compression=t.LZW), page(rgb[:9], compression=t.LZW)
    )
    files["first-page-reduced.tif"] = document(page(rgb[::2, ::2], t254=(LONG, [1])), page(rgb))
    files["first-page-a-mask.tif"] = document(
        page(gray > 127, 1, t.MIN_IS_BLACK, t254=(LONG, [4])), page(rgb)
    )
    below = page(rgb)
    below.pages_below = [page(rgb[::2, ::2], t254=(LONG, [1]))]
    files["sub-ifd.tif"] = document(below)
    odd = gray_picture(5, 13)
    for bits in (1, 2, 4):
        files[f"odd-width-{bits}-bits.tif"] = document(
            page(odd >> (8 - bits), bits, t.MIN_IS_BLACK, rows=2)
        )
    black = gray > 127
    files["no-bits-per-sample.tif"] = document(page(black, 1, t.MIN_IS_BLACK, t258=None))
    files["no-samples-per-pixel.tif"] = document(page(gray, 8, t.MIN_IS_BLACK, t277=None))
    files["no-samples-per-pixel-rgb.tif"] = document(page(rgb, t277=None))
    files["no-rows-per-strip.tif"] = document(page(rgb, t278=None))
    files["rows-per-strip-2-to-the-32-less-1.tif"] = document(page(rgb, t278=(LONG, [2**32 - 1])))
    files["no-strip-byte-counts.tif"] = document(page(rgb, t279=None))
    files["no-strip-byte-counts-lzw.tif"] = document(page(rgb, compression=t.LZW, t279=None))
    files["strip-byte-counts-0-lzw.tif"] = document(page(rgb, compression=t.LZW, t279=(LONG, [0])))
    files["no-compression-tag.tif"] = document(page(rgb, t259=None))
    files["one-bits-per-sample-for-three.tif"] = document(page(rgb, t258=(SHORT, [8])))
    files["numbers-as-long.tif"] = document(
        page(rgb, t256=(LONG, [SIZE[1]]), t257=(LONG, [SIZE[0]]), t278=(LONG, [SIZE[0]]))
    )
    files["offsets-as-short.tif"] = document(page(rgb, t273=(SHORT, [8]), t279=(SHORT, [rgb.size])))
    resolution = (t.RATIONAL, [(72, 1)])
    files["with-resolution-and-text.tif"] = document(
        page(
            rgb,
            t282=resolution,
            t283=resolution,
            t296=(SHORT, [2]),
            t270=(t.UNDEFINED, list(b"A text\0")),
        )
    )
    files["private-tags.tif"] = document(page(rgb, t65000=(LONG, list(range(9)))))
    whole = document(page(rgb))
    files["42-in-the-other-order.tif"] = whole[:2] + b"\0*" + whole[4:]
    at = struct.unpack_from("<I", whole, 4)[0]
    entries = struct.unpack_from("<H", whole, at)[0]
    rows = [whole[at + 2 + 12 * n : at + 14 + 12 * n] for n in range(entries)]
    body = b"".join(reversed(rows))
    files["tags-not-sorted.tif"] = whole[: at + 2] + body + whole[at + 2 + len(body) :]
    looped = bytearray(whole)
    struct.pack_into("<I", looped, at + 2 + 12 * entries, at)
    files["next-page-is-the-same.tif"] = bytes(looped)
    return files


def files() -> dict[str, bytes]:
    """Every TIFF by name."""
    groups = [layouts(), grays(), palettes(), colours(), compressions(), faxes(), jpegs()]
    groups += [orientations(), pages()]
    merged = {}
    for group in groups:
        assert not merged.keys() & group.keys()
        merged |= group
    return merged
