"""A recipe, the shape of its windows and the number of labels in; a Keras model out. Imports tensorflow.

`lstm` on raw features is the notebook's network, trained as the notebook does. All others scale what they see
themselves, are small, since examples are few, and learn in a fixed number of steps. docs/ablations.md says why.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from common.errors import UserError
from models.training.progress import Progress
from models.training.recipe import Recipe
from models.training_data.training_set import TrainingSet

BATCH: Final = 64
EPOCH: Final = 16  # batches
NOTEBOOKS_RATE: Final = 1e-3  # of learning, as of Keras' own Adam
MOMENTUM: Final = 0.9  # of batch statistics, which settle in 50 steps

layers = tf.keras.layers


def build(recipe: Recipe, length: int, size: int, labels: int) -> tf.keras.Model:
    """An untrained model of windows (n, length, size) to probabilities (n, labels)."""
    windows = layers.Input((length, size))
    if recipe.is_notebooks:
        return tf.keras.Model(windows, _notebooks(windows, labels, "relu"))
    scaled = layers.BatchNormalization(momentum=MOMENTUM, center=False, scale=False)(windows)
    seen = layers.SpatialDropout1D(0.3)(scaled)
    if recipe.kind == "lstm":
        return tf.keras.Model(windows, _notebooks(seen, labels, "tanh"))
    frames = BODIES[recipe.kind](seen, recipe.width)
    pooled = [layers.GlobalAveragePooling1D()(frames), layers.GlobalMaxPooling1D()(frames)]
    found = layers.Dropout(recipe.dropout)(layers.Concatenate()(pooled))
    return tf.keras.Model(windows, layers.Dense(labels, activation="softmax")(found))


def _notebooks(windows: Any, labels: int, activation: str) -> Any:
    """LSTM 64-128-64, dense 64-32-softmax: 596,741 parameters with windows of (30, 1662) and five labels."""
    for units, sequences in ((64, True), (128, True), (64, False)):
        windows = layers.LSTM(units, return_sequences=sequences, activation=activation)(windows)
    for units in (64, 32):
        windows = layers.Dense(units, activation="relu")(windows)
    return layers.Dense(labels, activation="softmax")(windows)


def _gru(frames: Any, width: int) -> Any:
    return layers.Bidirectional(layers.GRU(width // 2, return_sequences=True))(frames)


def _narrow(frames: Any, width: int) -> Any:
    """Each frame on its own, to `width` numbers."""
    narrow = layers.BatchNormalization(momentum=MOMENTUM)(layers.Dense(width, use_bias=False)(frames))
    return layers.Activation("swish")(narrow)


def _convolve(frames: Any, width: int) -> Any:
    """Each frame with its neighbours, added to what it was."""
    seen = layers.Conv1D(width, 5, padding="same", use_bias=False)(frames)
    seen = layers.Activation("swish")(layers.BatchNormalization(momentum=MOMENTUM)(seen))
    return layers.Add()([frames, layers.Dropout(0.3)(seen)])


def _attend(frames: Any, width: int) -> Any:
    """A block of a transformer: each frame looks at all others."""
    normal = layers.LayerNormalization()(frames)
    frames = layers.Add()([frames, layers.MultiHeadAttention(4, width // 4, dropout=0.3)(normal, normal)])
    wide = layers.Dense(2 * width, activation="swish")(layers.LayerNormalization()(frames))
    return layers.Add()([frames, layers.Dense(width)(layers.Dropout(0.3)(wide))])


def _conv(frames: Any, width: int) -> Any:
    return _convolve(_narrow(frames, width), width)


def _transformer(frames: Any, width: int) -> Any:
    return _attend(_conv(frames, width), width)


BODIES: Final[dict[str, Callable[[Any, int], Any]]] = {"gru": _gru, "conv": _conv, "transformer": _transformer}


def take_over(model: tf.keras.Model, weights: Path) -> None:
    """What a network of the same recipe knows, whose labels are the first of the model's; raises UserError."""
    try:
        known = tf.keras.models.load_model(weights, compile=False)
        for layer, same in zip(model.layers[:-1], known.layers[:-1], strict=True):
            layer.set_weights(same.get_weights())
        kernel, bias = model.layers[-1].get_weights()
        known_kernel, known_bias = known.layers[-1].get_weights()
        kernel[:, : len(known_bias)], bias[: len(known_bias)] = known_kernel, known_bias
        model.layers[-1].set_weights([kernel, bias])
    except Exception as error:  # Keras has exceptions of its own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{weights} is damaged, or no network of its card's recipe: {reason}") from error


def prepare(model: tf.keras.Model, recipe: Recipe) -> None:
    """Compile it: the rate of learning rises for a tenth of the epochs, and falls to nothing."""
    if recipe.is_notebooks:
        optimizer = tf.keras.optimizers.Adam(NOTEBOOKS_RATE)
    else:
        steps = recipe.epochs * EPOCH
        rate = tf.keras.optimizers.schedules.CosineDecay(
            0.0, steps - steps // 10, warmup_target=recipe.rate, warmup_steps=steps // 10
        )
        optimizer = tf.keras.optimizers.AdamW(rate, weight_decay=recipe.decay)
    loss = tf.keras.losses.CategoricalCrossentropy(label_smoothing=0.0 if recipe.is_notebooks else recipe.smoothing)
    # XLA is faster for `gru` alone, and keeps what it compiled: 70 MB a network and more.
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)


class Batches(tf.keras.utils.PyDataset):  # type: ignore[misc]
    """Random lessons, each in a random one of its variants."""

    def __init__(self, lessons: TrainingSet, seed: int) -> None:
        super().__init__()
        self._lessons, self._rng = lessons, np.random.default_rng(seed)

    def __len__(self) -> int:
        return EPOCH

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        rounds, n = self._lessons.features.shape[:2]
        chosen = self._rng.integers(rounds, size=BATCH), self._rng.choice(n, BATCH, p=self._lessons.sample_weight)
        return self._lessons.features[chosen], self._lessons.targets[chosen]


def told_to(progress: Progress) -> tf.keras.callbacks.Callback:
    """Tells after each epoch how many are done, of so many, and the loss on the validation part."""

    def tell(epoch: int, logs: dict[str, float]) -> None:
        progress(epoch + 1, callback.params["epochs"], logs.get("val_loss"))

    callback = tf.keras.callbacks.LambdaCallback(on_epoch_end=tell)
    return callback
