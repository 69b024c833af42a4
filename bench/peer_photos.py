"""PyTorch's whole pipeline from a folder of photographs to VGG16's features, as a command.

    peer_photos.py --photos FOLDER --size 96 --threads 2 --onnx FILE --features OUT.npy

torchvision's ImageFolder, decoder and transforms in a DataLoader with a worker per core,
channels-last tensors, inference mode.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import vgg16
from torchvision import transforms
from torchvision.datasets import ImageFolder

# Images of a batch by size, as in the comparison of the convolutions.
BATCHES = {96: 32, 224: 8}
WORKERS_AHEAD = 4


def network(onnx: Path) -> torch.nn.Module:
    """The 13 convolutions and 4 pools, with channels-last weights."""
    modules: list[torch.nn.Module] = []
    for layer in vgg16.layers(onnx):
        if layer is None:
            modules.append(torch.nn.MaxPool2d(2))
            continue
        weight, bias = (torch.from_numpy(array.copy()) for array in layer)
        convolution = torch.nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
        convolution.weight.data, convolution.bias.data = weight, bias
        modules += [convolution, torch.nn.ReLU(inplace=True)]
    return torch.nn.Sequential(*modules).eval().to(memory_format=torch.channels_last)


def preprocessing(size: int) -> transforms.Compose:
    """As `vgg-extract run` with weights of the family caffe: BGR from 0 to 255 without the mean."""
    mean = torch.tensor(vgg16.CAFFE_BGR_MEAN).reshape(3, 1, 1)
    return transforms.Compose(
        [
            transforms.Resize((size, size)),
            transforms.PILToTensor(),
            transforms.Lambda(lambda pixels: pixels.flip(0).float() - mean),
        ]
    )


def main() -> None:
    """Compute the features of all images and write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--onnx", type=Path, required=True)
    parser.add_argument("--features", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    images = ImageFolder(options.photos, preprocessing(options.size))
    loader = torch.utils.data.DataLoader(
        images,
        batch_size=BATCHES.get(options.size, 16),
        num_workers=options.threads,
        prefetch_factor=WORKERS_AHEAD,
        multiprocessing_context="fork",
    )
    model = network(options.onnx)
    side = options.size // 16
    features = np.lib.format.open_memmap(
        options.features, "w+", np.float32, (len(images), 512, side, side)
    )
    row = 0
    with torch.inference_mode():
        for batch, _ in loader:
            computed = model(batch.contiguous(memory_format=torch.channels_last))
            features[row : row + len(batch)] = computed.numpy()
            row += len(batch)
    features.flush()


if __name__ == "__main__":
    main()
