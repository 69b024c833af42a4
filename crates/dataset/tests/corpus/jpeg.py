"""JPEG: sampling factors, orders of scans, restart markers, arithmetic coding, sizes."""

import itertools

import numpy as np
from PIL import Image

import jpeg_markers
from common import encode, gray_picture, picture, ppm, run
from jpeg_markers import frame_of, parts, sampling_factors

# Height and width with more than one MCU in both directions.
SIZE = (18, 34)
SIXTEEN_BIT_GRAY = frozenset()
MISREAD: dict[str, str] = {}

# Of three components with all coefficients, or with fewer, in the language of cjpeg -scans.
SCRIPTS = {
    "baseline": "0 1 2;",
    "own-scans": "0; 1; 2;",
    "chroma-first": "2; 1; 0;",
    "luma-alone": "0; 1 2;",
    "cr-alone": "0 1; 2;",
    "progressive": "",
    "progressive-own-scans": """0: 0-0, 0, 1; 1: 0-0, 0, 1; 2: 0-0, 0, 1; 0: 1-63, 0, 0;
        1: 1-63, 0, 0; 2: 1-63, 0, 0; 2: 0-0, 1, 0; 1: 0-0, 1, 0; 0: 0-0, 1, 0;""",
    "spectral-selection": """0 1 2: 0-0, 0, 0; 0: 1-5, 0, 0; 2: 1-63, 0, 0; 1: 1-63, 0, 0;
        0: 6-63, 0, 0;""",
    "successive-approximation": """0 1 2: 0-0, 0, 2; 0: 1-63, 0, 2; 1: 1-63, 0, 1; 2: 1-63, 0, 1;
        0: 1-63, 2, 1; 0 1 2: 0-0, 2, 1; 0: 1-63, 1, 0; 1: 1-63, 1, 0; 2: 1-63, 1, 0;
        0 1 2: 0-0, 1, 0;""",
}
# Scripts that stop before everything is sent: libjpeg smooths what they lack.
ENDING_EARLY = {
    "dc-only": "0 1 2: 0-0, 0, 0;",
    "dc-without-lowest-bit": "0 1 2: 0-0, 0, 1;",
    "dc-without-lowest-2-bits": "0 1 2: 0-0, 0, 2;",
    "dc-of-own-scans-without-lowest-bit": "0: 0-0, 0, 1; 1: 0-0, 0, 0; 2: 0-0, 0, 1;",
    "first-5-ac": "0 1 2: 0-0, 0, 0; 0: 1-5, 0, 0; 1: 1-5, 0, 0; 2: 1-5, 0, 0;",
    "no-chroma-ac": "0 1 2: 0-0, 0, 0; 0: 1-63, 0, 0;",
    "no-luma-ac": "0 1 2: 0-0, 0, 0; 1: 1-63, 0, 0; 2: 1-63, 0, 0;",
    "ac-without-lowest-2-bits": """0 1 2: 0-0, 0, 0; 0: 1-63, 0, 2; 1: 1-63, 0, 2;
        2: 1-63, 0, 2;""",
    "ac-and-dc-without-lowest-bit": """0 1 2: 0-0, 0, 1; 0: 1-63, 0, 1; 1: 1-63, 0, 1;
        2: 1-63, 0, 1;""",
}
RESTARTS = {"": [], "restart1": ["1B"], "restart3": ["3B"], "restart-row": ["1"]}
COMMON_SAMPLINGS = ("1x1", "2x1", "1x2", "2x2")
RARE_SAMPLINGS = ("4x1", "1x4", "4x2", "2x4", "3x1")
# Y, Cb and Cr, where chroma is finer than luma or its two components differ.
UNUSUAL_SAMPLINGS = {
    "chroma-2x2": "1x1,2x2,1x1",
    "chroma-2x1": "1x1,2x1,2x1",
    "chroma-1x2": "1x1,1x2,1x2",
    "2x2-1x2-2x1": "2x2,1x2,2x1",
    "2x2-2x1-1x2": "2x2,2x1,1x2",
    "2x1-1x1-2x1": "2x1,1x1,2x1",
    "4x1-2x1-1x1": "4x1,2x1,1x1",
    "1x2-2x1-1x1": "1x2,2x1,1x1",
    "2x1-all": "2x1,2x1,2x1",
    "1x2-all": "1x2,1x2,1x2",
}
REFUSED = {
    "12-bits.jpg": "Pillow takes 8 bits a sample",
    "16-bits-lossless.jpg": "Pillow takes 8 bits a sample",
    "chroma-finer-than-allowed-in-one-scan.jpg": "more than 10 blocks in an MCU",
    "ycbcr-3x1-with-chroma-2x1.jpg": "libjpeg has no fractional sampling",
    **jpeg_markers.REFUSED,
}


def cjpeg(
    pixels: np.ndarray,
    sample: str = "",
    script: str = "",
    restart: str = "",
    options: tuple[str, ...] = (),
    quality: int = 80,
) -> bytes:
    """A JPEG by libjpeg's command line program."""
    command = ["cjpeg", "-quality", str(quality), *options]
    if sample:
        command += ["-sample", sample]
    if script:
        command += ["-scans", "script"]
    if restart:
        command += ["-restart", restart]
    return run(command, ppm(pixels), {"script": script})


def scans(data: bytes) -> list[int]:
    """How many components each scan has."""
    return [part[4] for marker, part in parts(data) if marker == 0xDA]


def has_restarts(data: bytes) -> bool:
    """Whether RST markers stand in the scans."""
    entropy = b"".join(part for marker, part in parts(data) if marker == 0xDA)
    return any(bytes([0xFF, 0xD0 + n]) in entropy for n in range(8))


def with_script(sampling: str, name: str, restart: str, size: tuple[int, int]) -> bytes:
    """A file of these sampling factors (all three, or luma's), scan script and restarts."""
    script = SCRIPTS[name]
    options = ("-progressive",) if name == "progressive" else ()
    command = RESTARTS[restart]
    data = cjpeg(picture(*size), sampling, script, *command, options=options)
    # What the name says is so.
    kinds = {marker for marker, _ in parts(data)}
    progressive = name in {"progressive", "spectral-selection", "successive-approximation"}
    assert (0xC2 in kinds) == (progressive or name == "progressive-own-scans"), name
    luma, *chroma = (sampling + ",1x1,1x1").split(",")[:3]
    assert sampling_factors(data) == [luma, *chroma], (sampling, sampling_factors(data))
    expected = [len(scan.split(":")[0].split()) for scan in script.split(";") if scan.strip()]
    assert scans(data) == expected or name == "progressive", (name, scans(data))
    assert (0xDD in kinds) == bool(command) and has_restarts(data) == bool(command), (name, restart)
    return data


def size_of(sampling: str) -> tuple[int, int]:
    """Height and width that suit the sampling factors."""
    tall = any(factor.endswith(("x4", "x3")) for factor in sampling.split(","))
    return SIZE[::-1] if tall else SIZE


def sampled() -> dict[str, bytes]:
    """Sampling factors by scan scripts by restart intervals."""
    files = {}

    def add(label: str, sampling: str, scripts: list[str], restarts: list[str]) -> None:
        for name, restart in itertools.product(scripts, restarts):
            file = "-".join(word for word in ("ycbcr", label, name, restart) if word)
            files[f"{file}.jpg"] = with_script(sampling, name, restart, size_of(sampling))

    everything = [name for name in SCRIPTS if name != "progressive-own-scans"]
    for sampling in COMMON_SAMPLINGS:
        if sampling == "2x2":
            add(sampling, sampling, everything, ["", "restart1", "restart3", "restart-row"])
        elif sampling == "2x1":
            add(sampling, sampling, everything, ["", "restart1"])
        else:
            add(sampling, sampling, everything[:6], [""])
            add(sampling, sampling, ["baseline", "own-scans", "progressive"], ["restart3"])
        add(sampling, sampling, ["progressive-own-scans"], [""])
    for sampling in RARE_SAMPLINGS:
        add(sampling, sampling, ["baseline", "own-scans", "progressive"], [""])
    for sampling in ("4x1", "2x4"):
        add(sampling, sampling, ["baseline", "own-scans", "progressive"], ["restart1"])
    for label, sampling in UNUSUAL_SAMPLINGS.items():
        add(label, sampling, ["baseline", "own-scans"], [""])
    for label in ("chroma-2x1", "2x2-1x2-2x1"):
        sampling = UNUSUAL_SAMPLINGS[label]
        add(label, sampling, ["progressive", "luma-alone"], ["restart3"])
    # 12 blocks are too many for one scan of three components.
    add("2x2-all", "2x2,2x2,2x2", ["own-scans"], ["", "restart1"])
    return files


def ending_early() -> dict[str, bytes]:
    """Progressive files that do not send every coefficient."""
    files = {}
    for (name, script), sampling in itertools.product(ENDING_EARLY.items(), ("1x1", "2x2")):
        if sampling == "2x2" or name in {"dc-only", "ac-without-lowest-2-bits"}:
            data = cjpeg(picture(37, 44), sampling, script)
            assert frame_of(data).marker == 0xC2
            files[f"ending-early-{sampling}-{name}.jpg"] = data
    # Chroma's scans are missing: it would be made up.
    for name in ("own-scans", "progressive-own-scans"):
        whole = parts(cjpeg(picture(37, 44), "2x2", SCRIPTS[name]))
        first = next(at for at, (marker, _) in enumerate(whole) if marker == 0xDA)
        files[f"without-chroma-{name}.jpg"] = jpeg_markers.join([*whole[: first + 1], whole[-1]])
    gray = "0: 0-0, 0, 1; 0: 1-5, 0, 2;"
    files["ending-early-gray.jpg"] = cjpeg(picture(37, 44), script=gray, options=("-grayscale",))
    return files


def gray() -> dict[str, bytes]:
    """One component, also with sampling factors, which then mean nothing."""
    files = {}
    for sampling, restart in itertools.product(("1x1", "2x2", "2x1", "1x4"), ("", "3B")):
        for kind in ("baseline", "progressive"):
            if kind == "progressive" and sampling in {"2x1", "1x4"}:
                continue
            options = ("-grayscale",) + (("-progressive",) if kind == "progressive" else ())
            data = cjpeg(picture(*SIZE), sampling, restart=restart, options=options)
            assert sampling_factors(data) == [sampling] and has_restarts(data) == bool(restart)
            words = ("gray", sampling, kind, "restart3" if restart else "")
            files["-".join(word for word in words if word) + ".jpg"] = data
    return files


def codings() -> dict[str, bytes]:
    """Arithmetic coding, Huffman tables of the file's own, qualities."""
    files = {}
    for sampling, restart in itertools.product(("1x1", "2x2"), ("", "3B")):
        for kind, options in (("sequential", ()), ("progressive", ("-progressive",))):
            data = cjpeg(
                picture(*SIZE), sampling, restart=restart, options=("-arithmetic", *options)
            )
            assert frame_of(data).marker == (0xCA if options else 0xC9)
            words = ("arithmetic", sampling, kind, "restart3" if restart else "")
            files["-".join(word for word in words if word) + ".jpg"] = data
    files["arithmetic-gray.jpg"] = cjpeg(picture(*SIZE), options=("-arithmetic", "-grayscale"))
    for sampling in ("1x1", "2x2"):
        files[f"optimised-tables-{sampling}.jpg"] = cjpeg(
            picture(*SIZE), sampling, options=("-optimize",)
        )
    files["optimised-tables-own-scans-2x2.jpg"] = cjpeg(
        picture(*SIZE), "2x2", "2; 0; 1;", options=("-optimize",)
    )
    for quality in (1, 50, 95, 100):
        data = cjpeg(picture(*SIZE), "2x2", quality=quality, options=("-baseline",))
        assert frame_of(data).marker == 0xC0
        files[f"quality-{quality}.jpg"] = data
    wide = cjpeg(picture(*SIZE), "2x2", quality=1)
    assert any(marker == 0xDB and part[4] >> 4 for marker, part in parts(wide))
    files["quality-1-with-16-bit-quantisation.jpg"] = wide
    files["quality-1-with-16-bit-quantisation-progressive.jpg"] = cjpeg(
        picture(*SIZE), "2x2", quality=1, options=("-progressive",)
    )
    files["high-contrast-noise-quality-100.jpg"] = cjpeg(
        np.random.default_rng(5).choice(np.array([0, 255], np.uint8), (*SIZE, 3)),
        "1x1",
        quality=100,
    )
    files["high-contrast-noise-2x2.jpg"] = cjpeg(
        np.random.default_rng(6).choice(np.array([0, 255], np.uint8), (*SIZE, 3)), "2x2"
    )
    return files


def sizes() -> dict[str, bytes]:
    """Images of one row, one column, one MCU, and one pixel more or less."""
    files = {}
    for width, height in ((1, 1), (8, 8), (16, 16), (17, 1), (1, 17), (17, 17), (15, 33), (2, 3)):
        for sampling in ("1x1", "2x2"):
            for kind, options in (("baseline", ()), ("progressive", ("-progressive",))):
                if kind == "progressive" and sampling == "1x1":
                    continue
                files[f"size-{width}x{height}-{sampling}-{kind}.jpg"] = cjpeg(
                    picture(height, width), sampling, options=options
                )
    for sampling in ("2x1", "1x2", "4x2"):
        files[f"size-1x1-{sampling}-baseline.jpg"] = cjpeg(picture(1, 1), sampling)
        files[f"size-3x2-{sampling}-own-scans.jpg"] = cjpeg(picture(2, 3), sampling, "0; 1; 2;")
    files["size-35x16-2x2-own-scans.jpg"] = cjpeg(picture(16, 35), "2x2", "0; 1; 2;")
    files["size-120x3-2x1-baseline.jpg"] = cjpeg(picture(3, 120), "2x1", restart="3B")
    return files


def refused_samplings() -> dict[str, bytes]:
    """Sampling factors that libjpeg does not decode."""
    thirds = bytearray(cjpeg(picture(*SIZE), "3x1"))
    frame = thirds.index(b"\xff\xc0")
    thirds[frame + 14] = 0x21  # Cb's factors.
    many = bytearray(cjpeg(picture(*SIZE), "2x1,2x1,2x1"))
    frame = many.index(b"\xff\xc0")
    for component in range(3):
        many[frame + 11 + 3 * component] = 0x22
    return {
        "ycbcr-3x1-with-chroma-2x1.jpg": bytes(thirds),
        "chroma-finer-than-allowed-in-one-scan.jpg": bytes(many),
    }


def plain() -> dict[str, bytes]:
    """The kinds that most files are of, as Pillow writes them."""
    rgb = Image.fromarray(picture())
    rotated = Image.Exif()
    rotated[0x0112] = 6
    return {
        "baseline.jpg": encode(rgb, "JPEG", quality=90),
        "progressive.jpg": encode(rgb, "JPEG", quality=90, progressive=True),
        "gray.jpg": encode(Image.fromarray(gray_picture()), "JPEG", quality=90),
        "cmyk.jpg": encode(rgb.convert("CMYK"), "JPEG", quality=95),
        "rotated.jpg": encode(rgb, "JPEG", quality=90, exif=rotated),
    }


def files() -> dict[str, bytes]:
    """Every JPEG by name."""
    groups = [plain(), sampled(), ending_early(), gray(), codings(), sizes(), refused_samplings()]
    groups.append(jpeg_markers.files())
    merged = {}
    for group in groups:
        assert not merged.keys() & group.keys()
        merged |= group
    return merged
