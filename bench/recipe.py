"""The head of the recipe in PyTorch and in Keras, and softmax regression, on max-pooled features.

Dropout(p/2), Dense, ReLU, BatchNorm, Dropout(p/2), Dense, ReLU, BatchNorm, Dropout(p),
Dense: `arch=fastai`, with Keras' constants on both sides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras
    import torch

HIDDEN = 128
CLASSES = 10
BATCH = 64
LEARNING_RATE = 0.001
ADAM_EPS = 1e-7
BATCH_NORM_EPS = 1e-3
# Keras' momentum of 0.99 in PyTorch's terms.
BATCH_NORM_MOMENTUM = 0.01


def pytorch_head(inputs: int, p: float) -> torch.nn.Sequential:
    """The head in PyTorch, with Keras' initial weights: Glorot uniform, biases 0."""
    from torch import nn

    def norm() -> nn.BatchNorm1d:
        return nn.BatchNorm1d(HIDDEN, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM)

    head = nn.Sequential(
        *(nn.Dropout(p / 2), nn.Linear(inputs, HIDDEN), nn.ReLU(), norm()),
        *(nn.Dropout(p / 2), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), norm()),
        *(nn.Dropout(p), nn.Linear(HIDDEN, CLASSES)),
    )
    for layer in head:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return head


def pytorch_linear(inputs: int) -> torch.nn.Linear:
    """Softmax regression in PyTorch, with Keras' initial weights: `arch=linear`."""
    from torch import nn

    layer = nn.Linear(inputs, CLASSES)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def keras_head(inputs: int, p: float, steps_per_execution: int = 1) -> keras.Sequential:
    """The head in Keras, compiled."""
    from keras import Input, Sequential
    from keras.layers import BatchNormalization, Dense, Dropout
    from keras.losses import SparseCategoricalCrossentropy
    from keras.optimizers import Adam

    head = Sequential([Input((inputs,))])
    for _ in range(2):
        head.add(Dropout(p / 2))
        head.add(Dense(HIDDEN, activation="relu"))
        head.add(BatchNormalization())
    head.add(Dropout(p))
    head.add(Dense(CLASSES))
    head.compile(
        Adam(LEARNING_RATE, epsilon=ADAM_EPS),
        SparseCategoricalCrossentropy(from_logits=True),
        steps_per_execution=steps_per_execution,
    )
    return head


def max_pool(features: np.ndarray) -> np.ndarray:
    """Max-pool features [N, C, H, W] 2x2, without an odd last row and column, to [N, C*H/2*W/2]."""
    rows, channels, height, width = features.shape
    even = features[:, :, : height // 2 * 2, : width // 2 * 2]
    blocks = even.reshape(rows, channels, height // 2, 2, width // 2, 2)
    return np.ascontiguousarray(blocks.max((3, 5)).reshape(rows, -1), dtype=np.float32)
