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
        return np.concatenate([np.asarray(self._run(window[None])) for window in windows])


def _compiled(path: Path, card: Card) -> Any:
    """The network at `path` as one compiled function for batches of one: 1 ms, against 50 of model.predict."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet():
        import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
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
    signature = [tf.TensorSpec((1, *wants), tf.float32)]
    run = tf.function(lambda window: model(window, training=False), input_signature=signature, jit_compile=True)
    with quiet():
        run(np.zeros((1, *wants), np.float32))  # compiles now, not at the first window
    return run
