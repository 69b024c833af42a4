"""Makes the image files beside it and, for each FILE, FILE.ppm or FILE.pgm: its pixels by PIL.

    python3 -m venv venv && venv/bin/pip install numpy==2.4.6 pillow==13.0.0
    venv/bin/python make_images.py

One made-up picture in the forms that photographs and drawings come in. Of `gray16.png`, whose
16 bits PIL cuts off at 255, the pixels are the numbers divided by 257 and rounded.
"""

from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
HEIGHT, WIDTH = 17, 23


def picture() -> np.ndarray:
    """Smooth colours and one hard edge, uint8 [HEIGHT, WIDTH, 3]."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    channels = [x * 11, y * 15, (x + y) * 6]
    rgb = np.stack(channels, axis=-1).clip(0, 255).astype(np.uint8)
    rgb[4:9, 6:15] = [250, 40, 10]
    return rgb


def save(name: str, image: Image.Image, **options: object) -> None:
    """Writes an image and its pixels, gray or RGB, as PIL reads them again."""
    image.save(HERE / name, **options)
    pixels = Image.open(HERE / name)
    gray = pixels.mode in {"1", "L", "LA"}
    pixels.convert("RGB").convert("L" if gray else "RGB").save(
        HERE / f"{name}.{'pgm' if gray else 'ppm'}"
    )


def main() -> None:
    """Makes everything."""
    rgb = Image.fromarray(picture())
    gray = rgb.convert("L")
    ramp = np.linspace(0, 255, HEIGHT * WIDTH).astype(np.uint8)
    alpha = Image.fromarray(ramp.reshape(HEIGHT, WIDTH))
    rgba, gray_alpha = rgb.copy(), gray.copy()
    rgba.putalpha(alpha)
    gray_alpha.putalpha(alpha)
    palette = rgb.quantize(32)
    rotated = Image.Exif()
    rotated[0x0112] = 6
    wide = (np.asarray(gray).astype(np.uint16) * 256) + 77

    save("baseline.jpg", rgb, quality=90)
    save("progressive.jpg", rgb, quality=90, progressive=True)
    save("gray.jpg", gray, quality=90)
    save("cmyk.jpg", rgb.convert("CMYK"), quality=95)
    save("rotated.jpg", rgb, quality=90, exif=rotated)
    save("rgb.png", rgb)
    save("rgba.png", rgba)
    save("gray.png", gray)
    save("gray-alpha.png", gray_alpha)
    save("black-and-white.png", gray.convert("1"))
    save("palette.png", palette, transparency=3)
    save("rgb.bmp", rgb)
    save("palette.gif", palette)
    save("animated.gif", palette, save_all=True, append_images=[palette.rotate(180)])
    save("lossless.webp", rgb, lossless=True)
    save("lossy.webp", rgb, quality=90)
    save("lzw.tiff", rgb, compression="tiff_lzw")
    save("plain.tif", rgb)
    save("rgb.ppm", rgb)

    Image.fromarray(wide).save(HERE / "gray16.png")
    rounded = np.round(wide / 257).astype(np.uint8)
    Image.fromarray(rounded).save(HERE / "gray16.png.pgm")
    Image.fromarray(picture().astype(np.float32)[..., 0]).save(HERE / "float.tif")


if __name__ == "__main__":
    main()
