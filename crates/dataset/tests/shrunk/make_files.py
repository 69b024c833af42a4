"""The files of `tests/shrunk.rs`: JPEGs, and their pixels as Pillow decodes them at a part of their size.

Beside each file NAME, but for `wide.jpg`, which other tests use, there are NAME-2.ppm, NAME-4.ppm and NAME-8.ppm, which Pillow's `Image.draft` makes.

    pip install -r ../corpus/requirements.txt
    python make_files.py
"""

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "corpus"))

from common import picture, ppm  # noqa: E402

HEIGHT, WIDTH = 107, 133
RGB = Image.fromarray(picture(HEIGHT, WIDTH))
INKS = np.concatenate([picture(HEIGHT, WIDTH), picture(HEIGHT, WIDTH)[:, :, :1] // 2], axis=-1)
FILES = {
    "420": (RGB, {"quality": 85}),
    "444": (RGB, {"quality": 90, "subsampling": 0}),
    "422": (RGB, {"quality": 75, "subsampling": 1}),
    "progressive": (RGB, {"quality": 80, "progressive": True}),
    "gray": (RGB.convert("L"), {"quality": 85}),
    "cmyk": (Image.fromarray(INKS, "CMYK"), {"quality": 85}),
}

for old in HERE.iterdir():
    if old.suffix != ".py":
        old.unlink()
for name, (image, options) in FILES.items():
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    (HERE / f"{name}.jpg").write_bytes(file.getvalue())
    for part in (2, 4, 8):
        with Image.open(io.BytesIO(file.getvalue())) as image:
            image.draft(image.mode, (WIDTH // part, HEIGHT // part))
            pixels = np.asarray(image.convert("RGB"))
        assert pixels.shape[:2] == (-(-HEIGHT // part), -(-WIDTH // part))
        (HERE / f"{name}-{part}.ppm").write_bytes(ppm(pixels))
Image.fromarray(picture(200, 600)).save(HERE / "wide.jpg", quality=40)
