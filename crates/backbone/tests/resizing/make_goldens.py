"""The goldens of `tests/resizing.rs`: images brought to a size by Pillow and torchvision.

For each source NAME.npy, uint8 [height, width, 3] or [height, width], there is NAME-HxW.npy, uint8
[fits, filters, H, W, 3]. The fits are stretch (torchvision's Resize of both sides), crop (torchvision's
Resize of the shorter side and CenterCrop; for a target that is not square, Pillow's resize to the smallest
size that covers it, rounded down, and torchvision's center_crop), and pad (Pillow's ImageOps.pad, filled
with PAD_COLOUR). The filters are bilinear, bicubic, lanczos and nearest.

    pip install numpy==2.4.6 pillow==13.0.0 torch==2.13.0 torchvision==0.28.0
    python make_goldens.py
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

HERE = Path(__file__).resolve().parent
PAD_COLOUR = (124, 116, 104)
FILTERS = ["BILINEAR", "BICUBIC", "LANCZOS", "NEAREST"]
# Enlarged, reduced by little and by much, and far from the target's proportions, in height and in width.
SOURCES = {"small": (17, 23), "large": (211, 173), "wide": (31, 260), "high": (190, 9), "gray": (90, 61)}
TARGETS = [(32, 32), (32, 47)]


def picture(height: int, width: int) -> np.ndarray:
    """Smooth colours, hard edges, which make filters overshoot, and noise."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [x * 255 // width, y * 255 // height, 255 - (x + y) * 255 // (height + width)]
    rgb = np.stack(channels, axis=-1)
    rgb[(x // 5 + y // 4) % 3 == 0] = [255, 255, 0]
    rgb[(x // 7 + y // 6) % 4 == 0] = [0, 0, 255]
    noise = np.random.default_rng(height * width).integers(-20, 21, rgb.shape)
    return (rgb + noise).clip(0, 255).astype(np.uint8)


def stretched(image: Image.Image, height: int, width: int, name: str) -> Image.Image:
    return F.resize(image, [height, width], InterpolationMode[name])


def cropped(image: Image.Image, height: int, width: int, name: str) -> Image.Image:
    if height == width:
        image = F.resize(image, [height], InterpolationMode[name])
    else:
        w, h = image.size
        covering = (max(width, w * height // h), max(height, h * width // w))
        image = image.resize(covering, Image.Resampling[name])
    return F.center_crop(image, [height, width])


def padded(image: Image.Image, height: int, width: int, name: str) -> Image.Image:
    return ImageOps.pad(image, (width, height), Image.Resampling[name], color=PAD_COLOUR)


for source, (height, width) in SOURCES.items():
    pixels = picture(height, width)
    if source == "gray":
        pixels = np.asarray(Image.fromarray(pixels).convert("L"))
    np.save(HERE / f"{source}.npy", pixels)
    image = Image.fromarray(pixels).convert("RGB")
    for height, width in TARGETS:
        fits = [
            [np.asarray(fit(image, height, width, name)) for name in FILTERS]
            for fit in (stretched, cropped, padded)
        ]
        np.save(HERE / f"{source}-{height}x{width}.npy", np.array(fits))
