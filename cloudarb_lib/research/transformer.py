"""A small transformer on patches of a price's past, in place of the LSTM.

It sees the same channels, learns from the same outcomes by the same rules of time, and answers the
same: the median change to each step ahead at once. What differs is the network, and that it looks
back a week.

References
----------
Nie, Nguyen, Sinthong and Kalagnanam, A time series is worth 64 words (PatchTST), ICLR 2023.
Xiong et al., On layer normalization in the transformer architecture, ICML 2020 (norm before).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from cloudarb_lib.forecast.members.lstm import LIMIT_S, compiled, fit_predict
from cloudarb_lib.forecast.task import Task
from cloudarb_lib.forecast.worker import WORKER

WINDOW_CELLS = 168
PATCH_CELLS = 12
WIDTH = 32
HEADS = 4
BLOCKS = 2
DROPOUT = 0.1


def transformer(task: Task) -> np.ndarray:
    """Return the network's medians, by Keras in the process of TensorFlow.

    Returns
    -------
    ndarray of shape (origins, series, steps)
        Log changes from the price at each origin; only what was known there is learned from.

    Raises
    ------
    WorkerError
        Where that process fails, or needs more than ``LIMIT_S``.
    """
    asked = replace(task, about=None)  # and without what the task has cached
    return WORKER.call(fit_predict, asked, None, patch_network, limit_s=LIMIT_S)


def patch_network(channels: int, n_ahead: int) -> Any:
    """Return the network, which says "unchanged" at first.

    From (n, ``WINDOW_CELLS``, channels) to (n, n_ahead).
    """
    import keras

    layers = keras.layers
    n_patches = WINDOW_CELLS // PATCH_CELLS
    window = layers.Input((WINDOW_CELLS, channels))
    x = layers.Reshape((n_patches, PATCH_CELLS * channels))(window)
    x = layers.Dense(WIDTH)(x)
    place = layers.Embedding(n_patches, WIDTH)(keras.ops.arange(n_patches))
    x = x + place[None]
    for _ in range(BLOCKS):
        seen = layers.LayerNormalization()(x)
        attention = layers.MultiHeadAttention(HEADS, WIDTH // HEADS, dropout=DROPOUT)
        x = x + attention(seen, seen)
        hidden = layers.Dense(2 * WIDTH, activation="gelu")(layers.LayerNormalization()(x))
        x = x + layers.Dropout(DROPOUT)(layers.Dense(WIDTH)(hidden))
    x = layers.Flatten()(layers.LayerNormalization()(x))
    answer = layers.Dense(n_ahead, kernel_initializer="zeros")(x)
    return compiled(keras.Model(window, answer), learning_rate=1e-3)
