"""The truncated VGG16 that the peers run: the 13 convolutions and 4 pools up to conv5_3.

All peers take the weights from the same ONNX file, and the same inputs [N, 3, H, W], float32, which
are already preprocessed.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

CONVOLUTIONS = 13
CAFFE_BGR_MEAN = (103.939, 116.779, 123.68)


def truncated(path: Path, batch: int, size: int) -> onnx.ModelProto:
    """Reduce an ONNX classifier to its convolutions, for one input shape.

    The nodes from the first convolution to the ReLU of the last are kept unchanged.
    """
    model = onnx.load(str(path))
    nodes = list(model.graph.node)
    convolutions = [index for index, node in enumerate(nodes) if node.op_type == "Conv"]
    if len(convolutions) != CONVOLUTIONS:
        raise SystemExit(
            f"error: {path}: {len(convolutions)} convolutions, expected {CONVOLUTIONS}; "
            "run `just setup`, which puts the right file there"
        )
    kept = nodes[convolutions[0] : convolutions[-1] + 2]
    shape = [batch, 3, size, size]
    features = [batch, 512, size // 16, size // 16]
    kind = onnx.TensorProto.FLOAT
    needed = {name for node in kept for name in node.input}
    graph = helper.make_graph(
        kept,
        "vgg16-features",
        [helper.make_tensor_value_info(kept[0].input[0], kind, shape)],
        [helper.make_tensor_value_info(kept[-1].output[0], kind, features)],
        [tensor for tensor in model.graph.initializer if tensor.name in needed],
    )
    result = helper.make_model(graph, opset_imports=list(model.opset_import))
    result.ir_version = min(model.ir_version, 10)
    onnx.checker.check_model(result)
    return result


def layers(path: Path) -> list[tuple[np.ndarray, np.ndarray] | None]:
    """List the layers: weight [O, I, 3, 3] and bias [O] of a convolution, None for a pool."""
    graph = truncated(path, 1, 32).graph
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found: list[tuple[np.ndarray, np.ndarray] | None] = []
    for node in graph.node:
        if node.op_type == "Conv":
            weight, bias = (arrays[name] for name in node.input[1:3])
            found.append((weight, bias))
        elif node.op_type == "MaxPool":
            found.append(None)
    return found


def digits(mnist: Path, batch: int, size: int) -> np.ndarray:
    """Resize the first MNIST test digits and preprocess them, [batch, 3, size, size] float32.

    Bilinear with half-pixel centres, as `vgg-extract` does.
    """
    data = (mnist / "t10k-images-idx3-ubyte").read_bytes()
    _, _, height, width = struct.unpack(">4I", data[:16])
    pixels = np.frombuffer(data, np.uint8, batch * height * width, offset=16)
    images = pixels.reshape(batch, height, width).astype(np.float32)
    rows, columns = _weights(height, size), _weights(width, size)
    resized = rows @ images @ columns.T
    mean = np.array(CAFFE_BGR_MEAN, np.float32).reshape(1, 3, 1, 1)
    return np.ascontiguousarray(resized[:, None] - mean)


def _weights(source: int, target: int) -> np.ndarray:
    """Bilinear interpolation along one axis as a matrix [target, source]."""
    centres = (np.arange(target) + 0.5) * source / target - 0.5
    centres = centres.clip(0, source - 1)
    lower = np.minimum(centres.astype(int), source - 2)
    fraction = centres - lower
    matrix = np.zeros((target, source), np.float32)
    matrix[np.arange(target), lower] = 1 - fraction
    matrix[np.arange(target), lower + 1] += fraction
    return matrix
