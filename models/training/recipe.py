"""What a model is made of and how it learns: one value, which its card carries."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from common.keypoints.features import BODY, Features

NETWORKS: Final = ("conv", "gru", "transformer", "lstm")
CLASSICS: Final = ("forest", "boosting", "ridge", "logistic")
KINDS: Final = (*NETWORKS, *CLASSICS)

Share = Annotated[float, Meta(ge=0, lt=1)]


class Recipe(msgspec.Struct, kw_only=True, frozen=True):
    """The defaults are what docs/ablations.md found best on people never seen."""

    kind: str = "conv"  # one of KINDS
    features: Features = BODY
    epochs: Annotated[int, Meta(ge=1)] = 45  # at most
    width: Annotated[int, Meta(ge=4, multiple_of=4)] = 64  # numbers that a frame becomes
    dropout: Share = 0.5  # of what was seen, before the labels
    rate: Annotated[float, Meta(gt=0)] = 2e-3  # of learning, at its highest
    decay: Annotated[float, Meta(ge=0)] = 0.1  # of weights
    smoothing: Share = 0.05  # of labels: some examples show another movement than their label says

    @property
    def is_notebooks(self) -> bool:
        """The seed of this project, kept to compare with: nothing scaled or augmented, labels not smoothed."""
        return self.kind == "lstm" and self.features.kind == "raw"
