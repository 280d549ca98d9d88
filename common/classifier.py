"""A model folder in; windows float32 (n, length, 1662) in and probabilities float32 (n, labels) out."""

import os
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from common.decision import Parameters
from common.errors import UserError
from common.landmarks import LAYOUT, SIZE
from common.quiet import quiet

CARD = "card.json"
WEIGHTS = "model.keras"
BATCH = 8  # windows run at once where several wait: 0.34 ms each instead of 0.75


class WindowShape(msgspec.Struct, kw_only=True, frozen=True):
    """Frames in a window, and their rate; fps None: as they came."""

    length: Annotated[int, Meta(ge=1)]
    fps: Annotated[float, Meta(gt=0)] | None


class Card(msgspec.Struct, kw_only=True, frozen=True):
    """What a model folder says of itself in card.json."""

    layout: str
    labels: Annotated[list[str], Meta(min_length=2)]
    idle: list[str]  # labels that mean "nothing"
    window: WindowShape
    features: str
    decision: Parameters
    architecture: str
    parameters: int
    data: dict[str, Any]  # sources, hash, recorders held out
    metrics: dict[str, Any]  # with the split they were measured on
    seed: int
    versions: dict[str, str]
    commit: str
    trained: str  # date


def read_card(folder: str | Path) -> Card:
    """The card of a model folder; raises UserError if it is missing, broken or of another layout."""
    path = Path(folder) / CARD
    if not path.is_file():
        raise UserError(f"{folder} is not a model folder: it has no {CARD}. Train one with python -m models.train.")
    try:
        card = msgspec.json.decode(path.read_bytes(), type=Card)
    except msgspec.MsgspecError as error:
        raise UserError(f"{path} is not a model card: {error}.") from error
    if card.layout != LAYOUT:
        raise UserError(f"{path}: the model is for landmarks of layout {card.layout!r}, this release has {LAYOUT!r}.")
    if len(set(card.labels)) != len(card.labels) or not set(card.idle) <= set(card.labels):
        raise UserError(f"{path}: labels {card.labels} must differ, and idle {card.idle} be some of them.")
    return card


class Classifier:
    """A trained network, compiled; loading imports tensorflow, which takes seconds."""

    def __init__(self, folder: str | Path) -> None:
        self.card = read_card(folder)
        self._run = _compiled(Path(folder) / WEIGHTS, self.card)

    def __call__(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities (n, labels), each row adding up to 1, of windows (n, length, 1662)."""
        length = self.card.window.length
        if windows.shape[1:] != (length, SIZE):
            raise ValueError(f"the model takes windows of {(length, SIZE)}, not of {windows.shape[1:]}")
        rows = [np.zeros((0, len(self.card.labels)), np.float32)]
        for first in range(0, len(windows), BATCH):
            batch = windows[first : first + BATCH]
            if len(batch) > 1:
                batch = np.concatenate([batch, np.zeros((BATCH - len(batch), length, SIZE), np.float32)])
            rows.append(np.asarray(self._run[len(batch)](batch))[: len(windows) - first])
        return np.concatenate(rows)


def _compiled(path: Path, card: Card) -> dict[int, Any]:
    """The network at `path` compiled for batches of 1 and BATCH: under 1 ms, against 50 of model.predict."""
    # Read when tensorflow is imported; one thread, since the cores are Holistic's.
    for name, value in (("CPP_MIN_LOG_LEVEL", "3"), ("NUM_INTRAOP_THREADS", "1"), ("NUM_INTEROP_THREADS", "1")):
        os.environ.setdefault(f"TF_{name}", value)
    with quiet():
        import tensorflow as tf

        from common.fast_lstm import accelerated

    try:
        model = tf.keras.models.load_model(path, compile=False)  # safe_mode refuses code inside the file
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"The weights {path} cannot be loaded: {str(error).splitlines()[0]}") from error
    wants, gives = model.input_shape[1:], model.output_shape[-1]
    if wants != (card.window.length, SIZE) or gives != len(card.labels):
        raise UserError(
            f"{path} takes windows of {wants} and tells {gives} labels, but its {CARD} says "
            f"{(card.window.length, SIZE)} and {len(card.labels)}: they do not belong together."
        )
    with quiet():
        fast = accelerated(model)
        sizes = {size: tf.TensorSpec((size, *wants), tf.float32) for size in (1, BATCH)}
        run = tf.function(lambda windows: fast(windows, training=False), jit_compile=True)
        compiled = {size: run.get_concrete_function(spec) for size, spec in sizes.items()}
        for size, function in compiled.items():  # XLA compiles at the first call: now, not at the first window
            function(np.zeros((size, *wants), np.float32))
        return compiled
