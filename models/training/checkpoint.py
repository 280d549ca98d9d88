"""Save the state of a network's training after each epoch, and continue from it after an interruption.

Keras' own BackupAndRestore writes its files in place, so that a process killed meanwhile leaves one that nothing reads.
Imports tensorflow.
"""

from pathlib import Path
from typing import Final

import tensorflow as tf

from common.files import atomic_write
from models.training.networks import STEPS_PER_EPOCH

STATE: Final = "state.weights.h5"  # of the network and its optimizer


def callback(model: tf.keras.Model, folder: Path) -> tf.keras.callbacks.Callback:
    """Return a callback that saves a compiled network's state after each epoch, atomically, until training ends."""

    def save(_epoch: int, _logs: dict[str, float]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f"draft.{STATE}"
        model.save_weights(draft, overwrite=True)
        atomic_write(folder / STATE, draft.read_bytes())

    def remove(_logs: dict[str, float]) -> None:  # a run that stopped early is not to be trained on
        (folder / STATE).unlink(missing_ok=True)

    return tf.keras.callbacks.LambdaCallback(on_epoch_end=save, on_train_end=remove)


def restore(model: tf.keras.Model, folder: Path) -> int:
    """Load the state into a compiled network; returns how many epochs it was trained for: 0 if none was saved."""
    state = folder / STATE
    if not state.exists():
        return 0
    model.optimizer.build(model.trainable_variables)
    model.load_weights(state)
    return int(model.optimizer.iterations) // STEPS_PER_EPOCH
