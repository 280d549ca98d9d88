"""Save some windows of a training set in the model folder, so that fine-tuning can rehearse them and forgets little."""

import zipfile
from pathlib import Path
from typing import Final

import numpy as np

from common.errors import UserError
from models.training_data.training_set import TrainingSet

REHEARSAL: Final = "rehearsal.npz"
MAX_PER_LABEL: Final = 48  # windows
MAX_WINDOWS: Final = 3000  # of all labels: 20 MB of body features


def save(folder: Path, training_set: TrainingSet, seed: int) -> None:
    """Save windows of each label, in random augmented copies; transitions between labels are left out."""
    rng, labels = np.random.default_rng(seed), training_set.targets.shape[-1]
    most, one_hot = min(MAX_PER_LABEL, MAX_WINDOWS // labels), training_set.targets[0].max(axis=1) == 1
    targets = np.where(one_hot, training_set.targets[0].argmax(axis=1), -1)
    of_label = [np.flatnonzero(targets == label) for label in range(labels)]
    chosen = np.concatenate([rng.permutation(places)[:most] for places in of_label])
    copies = rng.integers(len(training_set.features), size=len(chosen))
    features = training_set.features[copies, chosen].astype(np.float16)  # exact to 0.002 of a shoulder's width
    np.savez_compressed(folder / REHEARSAL, features=features, targets=targets[chosen])


def load(folder: Path, labels: int) -> TrainingSet:
    """Load what `save` has saved, with targets (1, n, labels); raises UserError if it is missing or damaged."""
    path = folder / REHEARSAL
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            features, numbers = stored["features"].astype(np.float32), stored["targets"]
            targets = np.eye(labels, dtype=np.float32)[numbers]
    except FileNotFoundError:
        raise UserError(
            f"{folder} has no {REHEARSAL}: only a network trained by models.train or models.adapt can be adapted."
        ) from None
    except (
        OSError,
        ValueError,
        KeyError,
        IndexError,
        EOFError,
        TypeError,
        AttributeError,
        zipfile.BadZipFile,
    ) as error:
        raise UserError(f"{path} is damaged: {error}; train the model again.") from error
    no_sequence = np.full(len(numbers), -1)
    weight = 1 / np.bincount(numbers, minlength=labels)[numbers]
    return TrainingSet(features[None], targets[None], weight / weight.sum(), no_sequence)
