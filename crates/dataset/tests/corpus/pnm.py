"""PBM, PGM and PPM, plain and raw, and their relatives PAM and PFM."""

import numpy as np

from common import gray_picture, picture

SIZE = (9, 13)
SIXTEEN_BIT_GRAY = set()
MISREAD: dict[str, str] = {}
REFUSED = {
    **dict.fromkeys(
        (
            "pam-black-and-white.pam",
            "pam-gray-alpha.pam",
            "pam-gray.pam",
            "pam-rgb.pam",
            "pam-rgba.pam",
        ),
        "Pillow does not know PAM",
    ),
    "p6-maxval-0.ppm": "no numbers are possible",
    "p6-cut-off.ppm": "ends before its last row",
    "p3-number-above-maxval.ppm": "a number above the largest",
    "pfm-rgb.pfm": "Pillow knows PFM of one channel",
}


def text(numbers: np.ndarray, per_line: int = 12) -> bytes:
    """Numbers as words, some in a line."""
    words = [str(number) for number in numbers.reshape(-1).tolist()]
    lines = (" ".join(words[at : at + per_line]) for at in range(0, len(words), per_line))
    return "\n".join(lines).encode() + b"\n"


def head(magic: str, maxval: object = "", size: tuple[int, int] = SIZE) -> bytes:
    """A header in three lines."""
    line = f"{maxval}\n" if maxval != "" else ""
    return f"{magic}\n{size[1]} {size[0]}\n{line}".encode()


def scaled(samples: np.ndarray, maxval: int) -> np.ndarray:
    """Numbers up to MAXVAL, as wide as a raw file has them."""
    kind = ">u2" if maxval > 255 else ">u1"
    return np.round(samples * (maxval / 255)).astype(kind)


def files() -> dict[str, bytes]:
    """Every file by name."""
    files = {"rgb.ppm": b"P6\n23 17\n255\n" + picture().tobytes()}
    rgb, gray = picture(*SIZE), gray_picture(*SIZE)
    black = (gray < 128).astype(np.uint8)
    files["p1.pbm"] = head("P1") + text(black)
    files["p1-without-spaces.pbm"] = head("P1") + bytes(48 + black.reshape(-1))
    files["p1-with-comments.pbm"] = (
        b"P1 # A comment.\n# Another.\n13 # Width.\n9\n# Pixels.\n" + text(black)
    )
    for width in (8, 9, 13, 16):
        digits = (gray_picture(5, width) < 128).astype(np.uint8)
        files[f"p4-width-{width}.pbm"] = (
            head("P4", size=(5, width)) + np.packbits(digits, axis=1).tobytes()
        )
    for maxval in (1, 3, 15, 100, 254, 255, 1000, 65535):
        for magic, samples, kind in (("P2", gray, "pgm"), ("P3", rgb, "ppm")):
            if maxval not in {3, 254, 1000} or magic == "P2":
                files[f"{magic.lower()}-maxval-{maxval}.{kind}"] = head(magic, maxval) + text(
                    scaled(samples, maxval)
                )
        for magic, samples, kind in (("P5", gray, "pgm"), ("P6", rgb, "ppm")):
            files[f"{magic.lower()}-maxval-{maxval}.{kind}"] = (
                head(magic, maxval) + scaled(samples, maxval).tobytes()
            )
    wide = gray.astype("u2") * 256 + 77
    wide[0, :5] = [0, 128, 129, 65535, 65407]
    files["p5-maxval-65535-low-bytes.pgm"] = head("P5", 65535) + wide.astype(">u2").tobytes()
    files["p2-maxval-65535-low-bytes.pgm"] = head("P2", 65535) + text(wide)
    for name in list(files):
        if name.startswith(("p2", "p5")) and ("1000" in name or "65535" in name):
            SIXTEEN_BIT_GRAY.add(name)
    files["p6-comments-in-the-header.ppm"] = (
        b"P6\n# A comment.\n13 9\n# Another\n# and another.\n255\n" + rgb.tobytes()
    )
    files["p6-comment-after-a-number.ppm"] = b"P6\n13 9 # Size.\n255\n" + rgb.tobytes()
    files["p6-comment-within-a-number.ppm"] = b"P6\n1#\n3 9\n255\n" + rgb.tobytes()
    files["p6-header-in-one-line.ppm"] = b"P6 13 9 255 " + rgb.tobytes()
    files["p6-header-with-tabs-and-returns.ppm"] = b"P6\r\n13\t9\r\n255\n" + rgb.tobytes()
    files["p6-pixels-begin-with-a-space.ppm"] = head("P6", 255) + b"  #\n" + rgb.tobytes()[4:]
    files["p6-numbers-above-maxval.ppm"] = head("P6", 200) + rgb.tobytes()
    files["p6-bytes-after.ppm"] = head("P6", 255) + rgb.tobytes() + bytes(range(50))
    files["p6-cut-off.ppm"] = head("P6", 255) + rgb.tobytes()[:-30]
    files["p6-maxval-0.ppm"] = head("P6", 0) + rgb.tobytes()
    files["p6-two-images.ppm"] = (head("P6", 255) + rgb.tobytes()) * 2
    comment = head("P3", 255) + b"# Pixels.\n" + text(rgb).replace(b"\n", b" # A line.\n", 2)
    files["p3-comments-among-the-pixels.ppm"] = comment
    files["p3-number-above-maxval.ppm"] = head("P3", 200) + text(rgb)

    alpha = np.dstack([rgb, gray[..., None]])
    forms = {
        "black-and-white": ("BLACKANDWHITE", 1 - black, 1),
        "gray": ("GRAYSCALE", gray, 255),
        "gray-alpha": ("GRAYSCALE_ALPHA", np.dstack([gray, gray]), 255),
        "rgb": ("RGB", rgb, 255),
        "rgba": ("RGB_ALPHA", alpha, 255),
    }
    for name, (kind, samples, maxval) in forms.items():
        depth = samples.reshape(*SIZE, -1).shape[2]
        header = (
            f"P7\nWIDTH 13\nHEIGHT 9\nDEPTH {depth}\nMAXVAL {maxval}\nTUPLTYPE {kind}\nENDHDR\n"
        )
        files[f"pam-{name}.pam"] = header.encode() + samples.astype(np.uint8).tobytes()
    floats = gray[::-1].astype("<f4")
    files["pfm-gray-little-endian.pfm"] = b"Pf\n13 9\n-1.0\n" + floats.tobytes()
    files["pfm-gray-big-endian.pfm"] = b"Pf\n13 9\n1.0\n" + floats.astype(">f4").tobytes()
    files["pfm-gray-of-0-to-1.pfm"] = b"Pf\n13 9\n-1.0\n" + (floats / 255).tobytes()
    files["pfm-rgb.pfm"] = b"PF\n13 9\n-1.0\n" + rgb[::-1].astype("<f4").tobytes()
    return files
