"""Lessons in; the few that a model folder keeps, so that it can learn more without forgetting, out, and back."""

import zipfile
from pathlib import Path
from typing import Final

import numpy as np

from common.errors import UserError
from models.training_data.training_set import Lessons

MEMORY: Final = "memory.npz"
EACH: Final = 48  # lessons of a label
MOST: Final = 3000  # of all labels: 20 MB of body features


def keep(folder: Path, lessons: Lessons, seed: int) -> None:
    """Some lessons of each label, in random variants."""
    rng, labels = np.random.default_rng(seed), lessons.targets.shape[-1]
    each, sure = min(EACH, MOST // labels), lessons.targets[0].max(axis=1) == 1
    told = np.where(sure, lessons.targets[0].argmax(axis=1), -1)
    of_label = [np.flatnonzero(told == label) for label in range(labels)]
    chosen = np.concatenate([rng.permutation(numbers)[:each] for numbers in of_label])
    rounds = rng.integers(len(lessons.features), size=len(chosen))
    features = lessons.features[rounds, chosen].astype(np.float16)  # 0.002 of a shoulder's width is no movement
    np.savez_compressed(folder / MEMORY, features=features, targets=told[chosen])


def recall(folder: Path, labels: int) -> Lessons:
    """Raises UserError where a model keeps none, or damaged ones."""
    path = folder / MEMORY
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            features, numbers = stored["features"].astype(np.float32), stored["targets"]
            targets = np.eye(labels, dtype=np.float32)[numbers]
    except FileNotFoundError:
        raise UserError(
            f"{folder} keeps no {MEMORY} of what it learnt: only a network trained here can learn more."
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
        raise UserError(f"{path} is damaged: {error}.") from error
    nowhere = np.full(len(numbers), -1)
    shares = 1 / np.bincount(numbers, minlength=labels)[numbers]
    return Lessons(features[None], targets[None], shares / shares.sum(), nowhere)
