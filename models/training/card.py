"""Save a trained model with its card."""

import contextlib
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from common.recognition.classifier import WEIGHTS, ModelCard, weights_of
from models.simulation.pipeline import Classify
from models.storage.folder import write_card
from models.training.fit import FittedClassifier
from models.training_data import rehearsal
from models.training_data.training_set import TrainingSet


class TrainedModel(NamedTuple):
    """A model in memory."""

    card: ModelCard
    classifier: FittedClassifier
    training_set: TrainingSet

    @property
    def classify(self) -> Classify:
        """The calibrated classifier of windows of raw keypoints (n, length, 1662)."""
        return self.classifier.calibrated(self.card.features, self.card.temperature)


def save(folder: Path, model: TrainedModel, **data: Any) -> None:
    """Write weights, card and, for a network, rehearsal data into a folder; data: more of the card's `data`."""
    model.classifier.save(folder)
    if weights_of(folder).name == WEIGHTS:
        rehearsal.save(folder, model.training_set, model.card.seed)
    write_card(folder, msgspec.structs.replace(model.card, data=data | model.card.data))


def versions() -> dict[str, str]:
    """Return the versions of installed packages that train models, without importing them."""
    versions = {}
    for name in ("tensorflow", "tensorflow-cpu", "scikit-learn", "numpy"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def commit() -> str:
    """Return the commit of this project, if it is a git checkout."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    with contextlib.suppress(OSError):  # git need not be installed
        ran = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
        return ran.stdout.strip() or "unknown"
    return "unknown"


def print_summary(out: Path, card: ModelCard) -> None:
    """Print what cross-validation measured."""
    metrics, subjects = card.metrics["validation"], len(card.metrics["accuracy_by_subject"])
    folds = f"grouped by {subjects} subjects" if card.metrics["subject_independent"] else "stratified by label"
    print(
        f"{out}: {card.metrics['split']}, {folds}: accuracy {metrics['accuracy']:.3f}, loss {metrics['loss']:.3f}, "
        f"calibration error {metrics['calibration_error']:.3f}, segmental F1@0.5 IoU {metrics['segmental_f1']:.3f}, "
        f"{metrics['false_positives_per_minute']:.2f} false positives per minute"
    )
