"""A kind of network, the shape of its windows and the number of labels in; a Keras model out. Imports tensorflow.

`lstm` is the notebook's, with the scaling of models/network.py. The others scale what they see themselves, are small,
since examples are few, and learn in a fixed number of steps from `Variants`. docs/ablations.md says why they are so.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models import network

BATCH: Final = 64
EPOCH: Final = 16  # batches
EPOCHS: Final = 60
RATE: Final = 2e-3  # of learning, at its highest
DECAY: Final = 0.1  # of weights
SMOOTHING: Final = 0.05  # of labels: some examples show another movement than their label says
WIDTH: Final = 64
MOMENTUM: Final = 0.9  # of batch statistics, which settle in 50 steps

layers = tf.keras.layers


def build(kind: str, length: int, size: int, labels: int) -> tf.keras.Model:
    """An untrained model of windows (n, length, size) to probabilities (n, labels); KeyError for an unknown kind."""
    if kind == "lstm":
        return network.build(length, size, labels)
    windows = layers.Input((length, size))
    scaled = layers.BatchNormalization(momentum=MOMENTUM, center=False, scale=False)(windows)
    frames = BODIES[kind](layers.SpatialDropout1D(0.3)(scaled))
    pooled = [layers.GlobalAveragePooling1D()(frames), layers.GlobalMaxPooling1D()(frames)]
    found = layers.Dropout(0.5)(layers.Concatenate()(pooled))
    return tf.keras.Model(windows, layers.Dense(labels, activation="softmax")(found))


def _gru(frames: Any) -> Any:
    return layers.Bidirectional(layers.GRU(WIDTH // 2, return_sequences=True))(frames)


def _narrow(frames: Any) -> Any:
    """Each frame on its own, to WIDTH numbers."""
    narrow = layers.BatchNormalization(momentum=MOMENTUM)(layers.Dense(WIDTH, use_bias=False)(frames))
    return layers.Activation("swish")(narrow)


def _convolve(frames: Any) -> Any:
    """Each frame with its neighbours, added to what it was."""
    seen = layers.Conv1D(WIDTH, 5, padding="same", use_bias=False)(frames)
    seen = layers.Activation("swish")(layers.BatchNormalization(momentum=MOMENTUM)(seen))
    return layers.Add()([frames, layers.Dropout(0.3)(seen)])


def _attend(frames: Any) -> Any:
    """A block of a transformer: each frame looks at all others."""
    normal = layers.LayerNormalization()(frames)
    frames = layers.Add()([frames, layers.MultiHeadAttention(4, WIDTH // 4, dropout=0.3)(normal, normal)])
    wide = layers.Dense(2 * WIDTH, activation="swish")(layers.LayerNormalization()(frames))
    return layers.Add()([frames, layers.Dense(WIDTH)(layers.Dropout(0.3)(wide))])


BODIES: Final[dict[str, Callable[[Any], Any]]] = {
    "gru": _gru,
    "conv": lambda frames: _convolve(_narrow(frames)),
    "transformer": lambda frames: _attend(_convolve(_narrow(frames))),
}
KINDS: Final = ("lstm", *BODIES)


def prepare(model: tf.keras.Model, epochs: int = EPOCHS) -> None:
    """Compile for so many epochs of Variants: the rate of learning rises for a tenth of them, and falls to nothing."""
    steps = epochs * EPOCH
    rising = steps // 10
    rate = tf.keras.optimizers.schedules.CosineDecay(0.0, steps - rising, warmup_target=RATE, warmup_steps=rising)
    model.compile(
        tf.keras.optimizers.AdamW(rate, weight_decay=DECAY),
        tf.keras.losses.CategoricalCrossentropy(label_smoothing=SMOOTHING),
        metrics=["accuracy"],
        jit_compile=True,
    )


class Variants(tf.keras.utils.PyDataset):  # type: ignore[misc]
    """Random batches of features, each example in a random one of its variants; every label equally often.

    variants: float32 (v, n, length, size), of n windows as they are and of v - 1 augmentations of each.
    """

    def __init__(self, variants: NDArray[np.float32], targets: NDArray[np.int64], labels: int, seed: int) -> None:
        super().__init__()
        self._variants, self._targets = variants, np.eye(labels, dtype=np.float32)[targets]
        self._rng = np.random.default_rng(seed)
        shares = 1 / np.bincount(targets)[targets]
        self._shares = shares / shares.sum()

    def __len__(self) -> int:
        return EPOCH

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        chosen = self._rng.choice(len(self._targets), BATCH, p=self._shares)
        return self._variants[self._rng.integers(len(self._variants), size=BATCH), chosen], self._targets[chosen]
