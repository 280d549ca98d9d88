"""The notebook's LSTM: a window shape and the number of labels in, a Keras model out. Imports tensorflow."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from common.landmarks import LEFT_SHOULDER, RIGHT_SHOULDER, SHAPES, SLICES
from models.augment import X, Y, move

BATCH = 64
ARCHITECTURE = "lstm 64-128-64, dense 64-32-softmax"
MIN_DEVIATION = 0.01  # of a picture: what moves less must not be blown up to matter

_VALUES = SHAPES["pose"][1]
_SHOULDERS = [SLICES["pose"].start + shoulder * _VALUES for shoulder in (LEFT_SHOULDER, RIGHT_SHOULDER)]
_REFERENCES = [(X, _SHOULDERS), (Y, [column + 1 for column in _SHOULDERS])]


def build(length: int, size: int, labels: int) -> tf.keras.Model:
    """LSTM 64-128-64, dense 64-32-softmax: 596,741 parameters with windows of (30, 1662) and five labels."""
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            layers.Input((length, size)),
            layers.LSTM(64, return_sequences=True),
            layers.LSTM(128, return_sequences=True),
            layers.LSTM(64),
            layers.Dense(64, activation="relu"),
            layers.Dense(32, activation="relu"),
            layers.Dense(labels, activation="softmax"),
        ]
    )


class Scaling(NamedTuple):
    """(x relative to the shoulders - mean) / deviation: linear, so that the first layer can take it over."""

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]

    @classmethod
    def of(cls, windows: NDArray[np.float32]) -> "Scaling":
        placed = relative(windows)
        return cls(placed.mean(axis=(0, 1)), np.maximum(placed.std(axis=(0, 1)), MIN_DEVIATION))

    def __call__(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        return (relative(windows) - self.mean) / self.deviation

    def fold_into(self, model: tf.keras.Model) -> None:
        """Make a model trained on scaled windows take raw ones: W((x - Rx) - m)/d = (W/d - R'W/d)x - Wm/d."""
        kernel, recurrent, bias = model.layers[0].get_weights()
        kernel = kernel / self.deviation[:, None]
        bias = bias - self.mean @ kernel
        for columns, (left, right) in _REFERENCES:
            taken = kernel[columns].sum(axis=0) / 2
            kernel[left] -= taken
            kernel[right] -= taken
        model.layers[0].set_weights([kernel, recurrent, bias])


def relative(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """x and y of all landmarks relative to the middle of the shoulders: where a person stands does not matter."""
    placed = windows.copy()
    for columns, (left, right) in _REFERENCES:
        placed[..., columns] -= (windows[..., left] + windows[..., right])[..., None] / 2
    return placed


class AugmentedBatches(tf.keras.utils.PyDataset):  # type: ignore[misc]
    """Shuffled batches of moved, scaled windows, other ones in every epoch."""

    def __init__(self, windows: NDArray[np.float32], targets: NDArray[np.int64], scaling: Scaling, seed: int) -> None:
        super().__init__()
        self._windows, self._targets, self._scaling = windows, targets, scaling
        self._rng = np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self._targets) // BATCH)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        chosen = self._order[index * BATCH : (index + 1) * BATCH]
        return self._scaling(move(self._windows[chosen], self._rng)), self._targets[chosen]

    def on_epoch_end(self) -> None:
        self._order = self._rng.permutation(len(self._targets))
