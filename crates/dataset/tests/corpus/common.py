"""The common parts of the modules of the forms: the picture, encoders, and the pixels by Pillow."""

import io
import subprocess
import tempfile
from pathlib import Path
from typing import Optional

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
HEIGHT, WIDTH = 17, 23


def picture(height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    """Smooth colours, a hard-edged block and a little noise, uint8 [height, width, 3]."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [x * 255 // width, y * 255 // height, 255 - (x + y) * 255 // (height + width)]
    rgb = np.stack(channels, axis=-1)
    rgb[height // 4 : height // 2, width // 4 : width * 2 // 3] = [250, 40, 10]
    noise = np.random.default_rng(seed).integers(-6, 7, rgb.shape)
    return (rgb + noise).clip(0, 255).astype(np.uint8)


def gray_picture(height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    """The picture in gray, uint8 [height, width]."""
    return np.asarray(Image.fromarray(picture(height, width, seed)).convert("L"))


def alpha_picture(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """An opacity that runs from 0 to 255, uint8 [height, width]."""
    return np.linspace(0, 255, height * width).astype(np.uint8).reshape(height, width)


def encode(image: Image.Image, form: str, **options: object) -> bytes:
    """An image as Pillow writes it."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def run(command: list[str], data: bytes, files: Optional[dict[str, str]] = None) -> bytes:
    """The standard output of a program that is run beside these text files."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (files or {}).items():
            (Path(folder) / name).write_text(text)
        done = subprocess.run(command, input=data, capture_output=True, cwd=folder, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.stderr.decode()}")
    return done.stdout


def ppm(pixels: np.ndarray) -> bytes:
    """A P6 file of uint8 [height, width, 3]."""
    height, width, _ = pixels.shape
    return f"P6\n{width} {height}\n255\n".encode() + pixels.tobytes()


def pixels_by_pillow(data: bytes, sixteen_bit_gray: bool = False) -> np.ndarray:
    """The uint8 [height, width, 3] that a file is to be decoded to.

    They are Pillow's, but for gray of 16 bits, of which Pillow cuts off what is above 255: there
    they are the numbers divided by 257 and rounded. Pillow reads from memory, since it maps
    TIFF files that lie on a disk, and then turns them wrongly.
    """
    image = Image.open(io.BytesIO(data))
    image.load()
    if sixteen_bit_gray:
        numbers = np.asarray(image).astype(np.int64)
        gray = np.round(numbers / 257).astype(np.uint8)
        return np.stack([gray] * 3, axis=-1)
    return np.asarray(image.convert("RGB"))
