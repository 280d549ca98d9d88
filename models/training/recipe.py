"""Configure a training run: the recipe (architecture and hyperparameters), windows, folds and seed."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from common.keypoints.features import BODY, Features
from common.recognition.classifier import WindowSpec

NETWORKS: Final = ("conv", "gru", "transformer", "lstm")
SKLEARN_MODELS: Final = ("forest", "boosting", "ridge", "logistic")
ARCHITECTURES: Final = (*NETWORKS, *SKLEARN_MODELS)

Fraction = Annotated[float, Meta(ge=0, lt=1)]


class Recipe(msgspec.Struct, kw_only=True, frozen=True):
    """Architecture and hyperparameters, stored in the card; the defaults are the best of docs/ablations.md."""

    architecture: str = "conv"  # one of ARCHITECTURES
    features: Features = BODY
    epochs: Annotated[int, Meta(ge=1)] = 45  # at most
    hidden_size: Annotated[int, Meta(ge=4, multiple_of=4)] = 64  # of a frame
    dropout: Fraction = 0.5  # before the last layer
    learning_rate: Annotated[float, Meta(gt=0)] = 2e-3  # at its maximum
    weight_decay: Annotated[float, Meta(ge=0)] = 0.1
    label_smoothing: Fraction = 0.05  # some recordings show another movement than their label says

    @property
    def is_notebook_baseline(self) -> bool:
        """Whether it is the network of nicknochnack/ActionDetectionforSignLanguage, trained without augmentation."""
        return self.architecture == "lstm" and self.features.kind == "raw"


class TrainingConfig(msgspec.Struct, kw_only=True, frozen=True):
    """How sequences become a training set, and how a model is fitted to it."""

    recipe: Recipe = Recipe()
    idle: tuple[str, ...] = ()  # labels that mean that no action is performed, beside IDLE_NAMES
    window: WindowSpec = WindowSpec(length=30, fps=25.0)
    stride: int = 3  # frames between two windows
    folds: int = 3  # of the cross-validation
    seed: int = 0
