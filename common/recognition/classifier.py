"""Load a model folder, and compute the probabilities of the labels from windows of landmarks."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from common.errors import UserError
from common.keypoints.features import Features, features, size
from common.keypoints.landmarks import LAYOUT, SIZE
from common.lfs import refuse_pointer
from common.recognition import backends
from common.recognition.decision import Parameters

CARD = "card.json"
WEIGHTS = "model.keras"  # as models.train writes it


class WindowSpec(msgspec.Struct, kw_only=True, frozen=True):
    """Frames in a window, and their rate; fps None takes them without resampling."""

    length: Annotated[int, Meta(ge=1)]
    fps: Annotated[float, Meta(gt=0)] | None


class ModelCard(msgspec.Struct, kw_only=True, frozen=True):
    """The description of a model, card.json in its folder."""

    layout: str
    labels: Annotated[list[str], Meta(min_length=2)]
    idle: list[str]  # labels that mean that no action is performed
    window: WindowSpec
    features: Features  # the network's input
    temperature: Annotated[float, Meta(gt=0)] = 1.0  # calibrates the confidence: models/evaluation/calibration.py
    decision: Parameters
    layers: str
    parameters: int
    data: dict[str, Any]  # sources, hash, subjects
    metrics: dict[str, Any]  # with the split they were measured on
    seed: int
    recipe: dict[str, Any] = {}  # models/training/recipe.py
    versions: dict[str, str]
    commit: str
    trained: str  # date


def read_card(folder: str | Path) -> ModelCard:
    """Read the card of a model folder; raises UserError if it is missing, broken or of another layout."""
    path = Path(folder) / CARD
    if not path.is_file():
        raise UserError(f"{folder} is not a model folder: it has no {CARD}. Train one with python -m models.train.")
    refuse_pointer(path)
    try:
        card = msgspec.json.decode(path.read_bytes(), type=ModelCard)
    except (OSError, msgspec.MsgspecError) as error:
        raise UserError(
            f"{path} is not a model card of this release: {error}; train, adapt or import it again."
        ) from error
    if card.layout != LAYOUT:
        raise UserError(f"{path}: the model is for landmarks of layout {card.layout!r}, this release has {LAYOUT!r}.")
    if len(set(card.labels)) != len(card.labels) or not set(card.idle) <= set(card.labels):
        raise UserError(f"{path}: labels {card.labels} must differ, and idle {card.idle} be some of them.")
    return card


def weights_of(folder: Path) -> Path:
    """Return the path of the weights in a model folder; raises UserError unless there is exactly one."""
    found = [path for suffix in backends.LOADERS if (path := folder / f"model{suffix}").is_file()]
    if len(found) != 1:
        present = " and ".join(path.name for path in found) or "none"
        raise UserError(
            f"{folder} must hold one file of weights, model{' or '.join(backends.LOADERS)}: it has {present}."
        )
    return found[0]


class Classifier:
    """A trained model that is ready to run; with .keras weights this imports tensorflow, which takes seconds."""

    def __init__(self, folder: str | Path) -> None:
        self.card = read_card(folder)
        shape = self.card.window.length, size(self.card.features)
        self._network = backends.load(weights_of(Path(folder)), shape, self.card.labels)

    def __call__(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities, float32 (n, labels) with rows of sum 1, of windows, float32 (n, length, 1662)."""
        length = self.card.window.length
        if windows.shape[1:] != (length, SIZE):
            raise ValueError(f"the model takes windows of {(length, SIZE)}, not of {windows.shape[1:]}")
        if not len(windows):
            return np.zeros((0, len(self.card.labels)), np.float32)
        return temperature_scale(self._network(features(windows, self.card.features)), self.card.temperature)


def temperature_scale(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Divide the logits by the temperature and apply softmax again (Guo et al. 2017).

    A temperature above 1 lowers the confidence, one below 1 raises it.
    """
    if temperature == 1:
        return probabilities
    logits = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
