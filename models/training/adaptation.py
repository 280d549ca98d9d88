"""Adapt a trained model to a few sequences of one's own, and to new labels."""

from collections.abc import Sequence as Row
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.keypoints.features import features
from common.labels import check_distinct, is_idle
from common.recognition.classifier import CARD, WEIGHTS, Card, read_card, tempered, weights_of
from common.recording.sequence import KeypointSequence
from models.evaluation import provenance
from models.storage.folder import printable
from models.training.card import commit, versions
from models.training.fit import Trained, learn
from models.training.progress import shown
from models.training.recipe import Recipe
from models.training_data import rehearsal, training_set, transitions, windows
from models.training_data.training_set import TrainingSet

OWN: Final = 0.8  # of the lessons of a label that one has examples of
EPOCHS: Final = 20
LEAST: Final = 1e-6  # share of a label, below which it is not there
RATE: Final = 1e-3
STRIDE: Final = 3  # frames between two windows


class Adapted(NamedTuple):
    """A model that learnt more."""

    card: Card
    trained: Trained
    lessons: TrainingSet  # all that it knows now
    kept: float  # share of what it keeps of its former lessons that it tells right

    def classify(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities (n, labels) of raw windows (n, length, 1662)."""
        return tempered(self.trained.tell(features(windows, self.card.features)), self.card.temperature)


def adapt(folder: Path, sequences: Row[KeypointSequence], seed: int = 0) -> Adapted:
    """The model in the folder after it learnt the sequences too; raises UserError.

    How sure it is and when it reports stay as they were: so few examples cannot say.
    """
    before = read_card(folder)
    if weights_of(folder).name != WEIGHTS:
        raise UserError(f"{folder} has no {WEIGHTS}: only a network that was trained here can learn more.")
    new = sorted({sequence.label for sequence in sequences} - set(before.labels))
    card = msgspec.structs.replace(before, labels=[*before.labels, *new], idle=[*before.idle, *filter(is_idle, new)])
    check_distinct(card.labels)
    recipe = _recipe(folder, card)
    known, own = rehearsal.load(folder, len(card.labels)), own_lessons(card, sequences, seed)
    everything = beside(known, own)
    with shown() as progress:
        trained = learn(recipe, everything, seed, progress=progress, knowing=folder / WEIGHTS)
    told = trained.tell(known.features[0]).argmax(axis=1)
    kept = float((told == known.targets[0].argmax(axis=1)).mean())
    adapted = msgspec.structs.replace(
        card,
        parameters=trained.parameters,
        data=_data(card, printable(folder.name), sequences),
        metrics={"former_lessons_right": kept, "before": card.metrics},
        seed=seed,
        recipe=msgspec.to_builtins(recipe),
        versions=versions(),
        commit=commit(),
        trained=datetime.now(timezone.utc).date().isoformat(),
    )
    return Adapted(adapted, trained, everything, kept)


def _recipe(folder: Path, card: Card) -> Recipe:
    try:
        return msgspec.convert(card.recipe | {"epochs": EPOCHS, "rate": RATE, "features": card.features}, Recipe)
    except msgspec.ValidationError as error:
        raise UserError(f"{folder / CARD} says a recipe that cannot be read: {error}.") from error


def own_lessons(card: Card, sequences: Row[KeypointSequence], seed: int) -> TrainingSet:
    """What one's own examples teach; raises UserError for a label without a window."""
    shape, idle = card.window, [card.labels.index(label) for label in card.idle]
    cut = windows.cut_windows(sequences, card.labels, shape, STRIDE)
    if silent := sorted({one.label for one in sequences} - {card.labels[number] for number in cut.targets}):
        raise UserError(f"No sequence of {silent[0]!r} has the {shape.length} frames of a window: record longer ones.")
    held = windows.concatenate([], shape.length)
    if idle:
        held = transitions.synthetic_idle(sequences, card.idle, shape.length, idle[0], seed)
    together = np.zeros(len(sequences), int)
    return training_set.augmented(cut, held, idle, together, card.features, len(card.labels), seed)


def beside(known: TrainingSet, own: TrainingSet) -> TrainingSet:
    """Both, with every label as frequent: one that only the model knows, or only one's own examples show, as well."""
    parts, there = (
        (known, own),
        np.stack([part.sample_weight @ part.targets[0] for part in (known, own)]),
    )  # (2, labels)
    wanted = np.where(there > LEAST, [[1 - OWN], [OWN]], 0)
    factors = wanted / np.maximum(wanted.sum(axis=0), LEAST) / np.maximum(there, LEAST)
    shares = [part.sample_weight * (part.targets[0] @ factor) for part, factor in zip(parts, factors, strict=True)]
    whole = sum(share.sum() for share in shares)
    return training_set.mix(
        [
            (part._replace(sample_weight=share / share.sum()), share.sum() / whole)
            for part, share in zip(parts, shares, strict=True)
        ]
    )


def _data(card: Card, name: str, sequences: Row[KeypointSequence]) -> dict[str, Any]:
    """What the card says of its data, with one's own."""
    before = provenance.data_provenance(card)
    return card.data | {
        "fine_tuned_from": name,
        "fingerprints": [*before.fingerprints, *map(provenance.fingerprint, sequences)],
        "subjects": sorted({*before.subjects, *(sequence.subject for sequence in sequences)}),
    }
