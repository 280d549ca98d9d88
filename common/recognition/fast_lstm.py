"""Replace the LSTM layers of a Keras model by ones that run fast on one window. Imports tensorflow.

Keras multiplies each frame with the kernel separately, and so reads the kernel (1.7 MB for 1662 numbers and 64
units) once a frame; here all frames of a window are multiplied at once. Weights and results are the same.
"""

from itertools import accumulate
from typing import Any

import tensorflow as tf


class FastLSTM(tf.keras.layers.LSTM):  # type: ignore[misc]
    """An LSTM for inference only: no masks, no dropout, no state between calls."""

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        """Run the layer on sequences (batch, frames, numbers)."""
        cell = self.cell
        projected = tf.matmul(sequences, cell.kernel) + (cell.bias if cell.use_bias else 0.0)
        zeros = tf.zeros((sequences.shape[0] or tf.shape(sequences)[0], cell.units), projected.dtype)

        def step(state: tuple[Any, Any], projected_step: Any) -> tuple[Any, Any]:
            hidden, carry = state
            gates = projected_step + tf.matmul(hidden, cell.recurrent_kernel)
            enter, forget, new, out = tf.split(gates, 4, axis=1)
            carry = cell.recurrent_activation(forget) * carry + cell.recurrent_activation(enter) * cell.activation(new)
            return cell.recurrent_activation(out) * cell.activation(carry), carry

        if self.unroll:
            states = list(accumulate(tf.unstack(projected, axis=1), step, initial=(zeros, zeros)))[1:]
            return tf.stack([hidden for hidden, _ in states], 1) if self.return_sequences else states[-1][0]
        hidden, _ = tf.scan(step, tf.transpose(projected, (1, 0, 2)), (zeros, zeros))
        return tf.transpose(hidden, (1, 0, 2)) if self.return_sequences else hidden[-1]


def accelerated(model: Any, unroll: bool = False) -> Any:
    """Return a copy of the model whose plain LSTM layers are FastLSTM; other layers are unchanged.

    `unroll` unrolls all recurrent layers, for runtimes that cannot change the batch size in a loop.
    """
    masked = any(map(_may_mask, getattr(model, "operations", model.layers)))

    def copy(layer: Any) -> Any:
        config = _unrolled(layer.get_config()) if unroll else layer.get_config()
        plain = type(layer) is tf.keras.layers.LSTM and not (layer.stateful or layer.go_backwards or layer.return_state)
        return (FastLSTM if plain and not masked else type(layer)).from_config(config)

    clone = tf.keras.models.clone_model(model, clone_function=copy)
    clone.set_weights(model.get_weights())
    return clone


def _may_mask(operation: Any) -> bool:
    """Return whether it may make a mask, as arithmetic between layers or a nested model can."""
    layer = isinstance(operation, tf.keras.layers.Layer)
    return not layer or isinstance(operation, (tf.keras.layers.Masking, tf.keras.Model))


def _unrolled(config: Any) -> Any:
    """Return the configuration of a layer and of the layers in it, with every `unroll` true."""
    if isinstance(config, dict):
        return {key: key == "unroll" or _unrolled(value) for key, value in config.items()}
    return [_unrolled(one) for one in config] if isinstance(config, list) else config
