"""Build and compile the Keras networks of recipes. Imports tensorflow.

`lstm` on raw features is the network of nicknochnack/ActionDetectionforSignLanguage, trained in its way. All others
scale their input themselves, are small, since training data is, and are trained for a fixed number of steps an epoch;
docs/ablations.md says why.
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

BATCH_SIZE: Final = 64
STEPS_PER_EPOCH: Final = 16
NOTEBOOK_LEARNING_RATE: Final = 1e-3  # the default of Keras' Adam
MOMENTUM: Final = 0.9  # of batch statistics, which converge in 50 steps

layers = tf.keras.layers


def build(recipe: Recipe, length: int, size: int, labels: int) -> tf.keras.Model:
    """Build an untrained model from windows (n, length, size) to probabilities (n, labels)."""
    windows = layers.Input((length, size))
    if recipe.is_notebook_baseline:
        return tf.keras.Model(windows, _notebook_layers(windows, labels, "relu"))
    scaled = layers.BatchNormalization(momentum=MOMENTUM, center=False, scale=False)(windows)
    dropped = layers.SpatialDropout1D(0.3)(scaled)
    if recipe.architecture == "lstm":
        return tf.keras.Model(windows, _notebook_layers(dropped, labels, "tanh"))
    frames = BACKBONES[recipe.architecture](dropped, recipe.hidden_size)
    pooled = [layers.GlobalAveragePooling1D()(frames), layers.GlobalMaxPooling1D()(frames)]
    embedding = layers.Dropout(recipe.dropout)(layers.Concatenate()(pooled))
    return tf.keras.Model(windows, layers.Dense(labels, activation="softmax")(embedding))


def _notebook_layers(windows: Any, labels: int, activation: str) -> Any:
    """LSTM 64-128-64, dense 64-32-softmax: 596,741 parameters with windows of (30, 1662) and five labels."""
    for units, sequences in ((64, True), (128, True), (64, False)):
        windows = layers.LSTM(units, return_sequences=sequences, activation=activation)(windows)
    for units in (64, 32):
        windows = layers.Dense(units, activation="relu")(windows)
    return layers.Dense(labels, activation="softmax")(windows)


def _gru(frames: Any, hidden_size: int) -> Any:
    return layers.Bidirectional(layers.GRU(hidden_size // 2, return_sequences=True))(frames)


def _project(frames: Any, hidden_size: int) -> Any:
    """Project each frame to `hidden_size` numbers."""
    projected = layers.BatchNormalization(momentum=MOMENTUM)(layers.Dense(hidden_size, use_bias=False)(frames))
    return layers.Activation("swish")(projected)


def _residual_conv(frames: Any, hidden_size: int) -> Any:
    """Convolve over neighbouring frames, with a residual connection."""
    seen = layers.Conv1D(hidden_size, 5, padding="same", use_bias=False)(frames)
    seen = layers.Activation("swish")(layers.BatchNormalization(momentum=MOMENTUM)(seen))
    return layers.Add()([frames, layers.Dropout(0.3)(seen)])


def _attention_block(frames: Any, hidden_size: int) -> Any:
    """Apply a block of a transformer: self-attention over all frames, then a feed-forward layer."""
    normal = layers.LayerNormalization()(frames)
    frames = layers.Add()([frames, layers.MultiHeadAttention(4, hidden_size // 4, dropout=0.3)(normal, normal)])
    wide = layers.Dense(2 * hidden_size, activation="swish")(layers.LayerNormalization()(frames))
    return layers.Add()([frames, layers.Dense(hidden_size)(layers.Dropout(0.3)(wide))])


def _conv(frames: Any, hidden_size: int) -> Any:
    return _residual_conv(_project(frames, hidden_size), hidden_size)


def _transformer(frames: Any, hidden_size: int) -> Any:
    return _attention_block(_conv(frames, hidden_size), hidden_size)


BACKBONES: Final[dict[str, Callable[[Any, int], Any]]] = {"gru": _gru, "conv": _conv, "transformer": _transformer}


def transfer_weights(model: tf.keras.Model, weights: Path) -> None:
    """Load weights of the same recipe, whose labels are the first ones of the model's; raises UserError."""
    try:
        source = tf.keras.models.load_model(weights, compile=False)
        for layer, other in zip(model.layers[:-1], source.layers[:-1], strict=True):
            layer.set_weights(other.get_weights())
        kernel, bias = model.layers[-1].get_weights()
        source_kernel, source_bias = source.layers[-1].get_weights()
        kernel[:, : len(source_bias)], bias[: len(source_bias)] = source_kernel, source_bias
        model.layers[-1].set_weights([kernel, bias])
    except Exception as error:  # Keras has exceptions of its own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{weights} is damaged, or not a network of its card's recipe, so train it again: {reason}"
        ) from error


def compile_model(model: tf.keras.Model, recipe: Recipe) -> None:
    """Compile a model; the learning rate rises for a tenth of the steps, then falls to 0 by a cosine."""
    if recipe.is_notebook_baseline:
        optimizer = tf.keras.optimizers.Adam(NOTEBOOK_LEARNING_RATE)
    else:
        steps = recipe.epochs * STEPS_PER_EPOCH
        rate = tf.keras.optimizers.schedules.CosineDecay(
            0.0, steps - steps // 10, warmup_target=recipe.learning_rate, warmup_steps=steps // 10
        )
        optimizer = tf.keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay)
    loss = tf.keras.losses.CategoricalCrossentropy(
        label_smoothing=0.0 if recipe.is_notebook_baseline else recipe.label_smoothing
    )
    # XLA is faster for `gru` only, and caches what it compiled: 70 MB a network and more.
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)


class Batches(tf.keras.utils.PyDataset):  # type: ignore[misc]
    """Random batches: windows drawn by weight, each in one of its copies."""

    def __init__(self, training_set: TrainingSet, seed: int) -> None:
        super().__init__()
        self._training_set, self._rng = training_set, np.random.default_rng(seed)

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return STEPS_PER_EPOCH

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return features (batch, length, F) and targets (batch, labels)."""
        copies, n = self._training_set.features.shape[:2]
        chosen = (
            self._rng.integers(copies, size=BATCH_SIZE),
            self._rng.choice(n, BATCH_SIZE, p=self._training_set.sample_weight),
        )
        return self._training_set.features[chosen], self._training_set.targets[chosen]


def progress_callback(progress: Progress) -> tf.keras.callbacks.Callback:
    """Return a callback that reports progress after each epoch."""

    def report(epoch: int, logs: dict[str, float]) -> None:
        progress(epoch + 1, callback.params["epochs"], logs.get("val_loss"))

    callback = tf.keras.callbacks.LambdaCallback(on_epoch_end=report)
    return callback
