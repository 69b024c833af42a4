"""Make the goldens of distortions with Keras and torchvision, all in one safetensors file.

    pip install keras==3.15.1 scipy==1.17.1 torch==2.13.0 torchvision==0.28.0 safetensors
    KERAS_BACKEND=torch python make_goldens.py

`image` is [48, 48, 3], uint8; the others are [height, width, 3], float32, 0 to 255. Their names begin
with the library that made them. `torchvision_erase` is what the network is shown, [3, height, width], normalised, and
`torchvision_erase_box` the top, left, height and width of what was erased, a fifth of the area, 1.6 times as high as
wide, at a random place.
"""

from pathlib import Path

import numpy as np
import torch
from keras.src.legacy.preprocessing import image as keras_image
from safetensors.numpy import save_file
from torchvision.transforms import InterpolationMode, RandomErasing
from torchvision.transforms import functional as torchvision

# Square, since Keras 3 turns other images about a point that is not their centre.
HEIGHT = WIDTH = 48
BILINEAR = InterpolationMode.BILINEAR


def photograph() -> np.ndarray:
    """A smooth image with edges and noise."""
    random = np.random.default_rng(0)
    down, across = np.mgrid[:HEIGHT, :WIDTH]
    waves = [np.sin(down / 5 + channel) + np.cos(across / (7 + channel)) for channel in range(3)]
    image = 128 + 50 * np.stack(waves, 2) + random.normal(0, 8, (HEIGHT, WIDTH, 3))
    image[8:20, 12:30] = (250, 20, 90)
    return image.clip(0, 255).astype(np.uint8)


def main() -> None:
    """Write the file."""
    image = photograph()
    floats = image.astype(np.float32)

    def affine(**values: float) -> np.ndarray:
        moved = keras_image.apply_affine_transform(
            floats, **values, channel_axis=2, row_axis=0, col_axis=1, fill_mode="nearest", order=1
        )
        return moved.astype(np.float32)

    # Positions are (x, y): `tx` moves columns, and angles turn the other way than in (row, column).
    goldens = {
        "keras_rotation": affine(theta=20),
        "keras_shift": affine(tx=0.1 * HEIGHT, ty=-0.2 * WIDTH),
        "keras_shear": affine(shear=17),
        "keras_zoom": affine(zx=0.8, zy=1.2),
        "keras_all": affine(theta=-12, tx=0.05 * HEIGHT, ty=0.1 * WIDTH, shear=9, zx=1.1, zy=0.9),
        "keras_channel_shift": keras_image.apply_channel_shift(floats, 30, channel_axis=2),
        "keras_channel_shift_down": keras_image.apply_channel_shift(floats, -30, channel_axis=2),
        "keras_brightness": keras_image.apply_brightness_shift(floats, 1.3, scale=False),
        "keras_flips": keras_image.flip_axis(keras_image.flip_axis(floats, 0), 1),
    }
    planes = torch.from_numpy(floats / 255).permute(2, 0, 1)

    def back(planes: torch.Tensor) -> np.ndarray:
        return (planes.permute(1, 2, 0) * 255).numpy().astype(np.float32)

    # A box of 24x36 pixels at (5, 7), enlarged to the image's size.
    crop = torchvision.resized_crop(planes, 5, 7, 24, 36, [HEIGHT, WIDTH], BILINEAR, antialias=True)
    goldens |= {
        "torchvision_rotation": back(
            torchvision.affine(planes, -20, [0, 0], 1, [0.0, 0.0], BILINEAR, fill=0.0)
        ),
        "torchvision_shift": back(
            torchvision.affine(planes, 0, [7, -4], 1, [0.0, 0.0], BILINEAR, fill=0.0)
        ),
        "torchvision_brightness": back(torchvision.adjust_brightness(planes, 1.3)),
        "torchvision_contrast": back(torchvision.adjust_contrast(planes, 0.6)),
        "torchvision_crop": back(crop),
        "torchvision_flip": back(torchvision.hflip(planes)),
    }
    # An image whose colours are normalised, as `RandomErasing` is used; 0 is then the mean colour.
    torch.manual_seed(0)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    top, left, height, width, value = RandomErasing.get_params(
        planes, scale=(0.2, 0.2), ratio=(1.6, 1.6), value=[0.0]
    )
    normalised = torchvision.normalize(planes, mean, std)
    erased = torchvision.erase(normalised, top, left, height, width, value)
    goldens |= {
        "torchvision_erase": erased.numpy(),
        "torchvision_erase_box": np.array([top, left, height, width], np.uint8),
    }
    arrays = {"image": image} | goldens
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    save_file(arrays, Path(__file__).parent / "goldens.safetensors")


if __name__ == "__main__":
    main()
