"""The notebook's LSTM: a window shape and the number of labels in, a Keras model out. Imports tensorflow."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

ARCHITECTURE = "lstm 64-128-64, dense 64-32-softmax"


def build(length: int, size: int, labels: int) -> tf.keras.Model:
    """LSTM 64-128-64, dense 64-32-softmax: 596,741 parameters with windows of (30, 1662) and five labels."""
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            layers.Input((length, size)),
            layers.LSTM(64, return_sequences=True, name="lstm_1"),
            layers.LSTM(128, return_sequences=True),
            layers.LSTM(64),
            layers.Dense(64, activation="relu"),
            layers.Dense(32, activation="relu"),
            layers.Dense(labels, activation="softmax"),
        ]
    )


def fold_standardisation(model: tf.keras.Model, mean: NDArray[np.float32], deviation: NDArray[np.float32]) -> None:
    """Make a model trained on (x - mean) / deviation take x itself: W(x - m)/d = (W/d)x - W(m/d)."""
    kernel, recurrent, bias = model.get_layer("lstm_1").get_weights()
    kernel = kernel / deviation[:, None]
    model.get_layer("lstm_1").set_weights([kernel, recurrent, bias - mean @ kernel])
