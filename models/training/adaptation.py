"""Adapt a trained network to a few new sequences, and to new labels."""

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from common.errors import UserError
from common.labels import check_distinct, is_idle
from common.recognition.classifier import CARD, WEIGHTS, ModelCard, read_card, weights_of
from common.recording.sequence import KeypointSequence
from models.evaluation import provenance
from models.storage.folder import printable
from models.training.card import TrainedModel, commit, versions
from models.training.fit import fit
from models.training.progress import progress_bar
from models.training.recipe import Recipe
from models.training_data import rehearsal, training_set, transitions, windows
from models.training_data.training_set import TrainingSet

NEW_DATA_WEIGHT: Final = 0.8  # of a label's windows, where there are new ones
EPOCHS: Final = 20
LEARNING_RATE: Final = 1e-3
STRIDE: Final = 3  # frames between two windows
MIN_WEIGHT: Final = 1e-6  # weight of a label, below which a training set does not have it


def adapt(folder: Path, sequences: Sequence[KeypointSequence], seed: int = 0) -> TrainedModel:
    """Fine-tune the model in a folder on new sequences, and rehearse windows of its own training; raises UserError.

    Temperature and decision stay: a few sequences cannot calibrate them.
    """
    source = read_card(folder)
    if weights_of(folder).name != WEIGHTS:
        raise UserError(f"{folder} has no {WEIGHTS}: only a network that was trained here can be adapted.")
    new_labels = sorted({sequence.label for sequence in sequences} - set(source.labels))
    idle = [*source.idle, *filter(is_idle, new_labels)]
    card = msgspec.structs.replace(source, labels=[*source.labels, *new_labels], idle=idle)
    check_distinct(card.labels)
    recipe = _recipe(folder, card)
    rehearsed, new = rehearsal.load(folder, len(card.labels)), new_training_set(card, sequences, seed)
    together = balance(rehearsed, new)
    with progress_bar() as progress:
        classifier = fit(recipe, together, seed, progress=progress, initial_weights=folder / WEIGHTS)
    predicted = classifier.predict(rehearsed.features[0]).argmax(axis=1)
    accuracy = float((predicted == rehearsed.targets[0].argmax(axis=1)).mean())
    adapted = msgspec.structs.replace(
        card,
        parameters=classifier.parameters,
        data=_data(card, printable(folder.name), sequences),
        metrics={"rehearsal_accuracy": accuracy, "source_metrics": card.metrics},
        seed=seed,
        recipe=msgspec.to_builtins(recipe),
        versions=versions(),
        commit=commit(),
        trained=datetime.now(timezone.utc).date().isoformat(),
    )
    return TrainedModel(adapted, classifier, together)


def _recipe(folder: Path, card: ModelCard) -> Recipe:
    changes = {"epochs": EPOCHS, "learning_rate": LEARNING_RATE, "features": card.features}
    try:
        return msgspec.convert(card.recipe | changes, Recipe)
    except msgspec.ValidationError as error:
        raise UserError(f"`recipe` of {folder / CARD} cannot be read: {error}; train the model again.") from error


def new_training_set(card: ModelCard, sequences: Sequence[KeypointSequence], seed: int) -> TrainingSet:
    """Return the training set of new sequences; raises UserError for a label without a window."""
    shape, idle = card.window, [card.labels.index(label) for label in card.idle]
    cut = windows.cut_windows(sequences, card.labels, shape, STRIDE)
    if short := sorted({one.label for one in sequences} - {card.labels[number] for number in cut.targets}):
        raise UserError(f"No sequence of {short[0]!r} has the {shape.length} frames of a window: record longer ones.")
    synthetic = windows.concatenate([], shape.length)
    if idle:
        synthetic = transitions.synthetic_idle(sequences, card.idle, shape.length, idle[0], seed)
    one_fold = np.zeros(len(sequences), int)
    return training_set.augmented(cut, synthetic, idle, one_fold, card.features, len(card.labels), seed)


def balance(rehearsed: TrainingSet, new: TrainingSet) -> TrainingSet:
    """Join rehearsal and new data with equal weights of all labels, each NEW_DATA_WEIGHT new where both have it."""
    parts = (rehearsed, new)
    of_label = np.stack([part.sample_weight @ part.targets[0] for part in parts])  # (2, labels)
    wanted = np.where(of_label > MIN_WEIGHT, [[1 - NEW_DATA_WEIGHT], [NEW_DATA_WEIGHT]], 0)
    factors = wanted / np.maximum(wanted.sum(axis=0), MIN_WEIGHT) / np.maximum(of_label, MIN_WEIGHT)
    weights = [part.sample_weight * (part.targets[0] @ factor) for part, factor in zip(parts, factors, strict=True)]
    total = sum(weight.sum() for weight in weights)
    return training_set.mix(
        [
            (part._replace(sample_weight=weight / weight.sum()), weight.sum() / total)
            for part, weight in zip(parts, weights, strict=True)
        ]
    )


def _data(card: ModelCard, source: str, sequences: Sequence[KeypointSequence]) -> dict[str, Any]:
    """Return the card's `data` with the new sequences."""
    before = provenance.data_provenance(card)
    return card.data | {
        "fine_tuned_from": source,
        "fingerprints": [*before.fingerprints, *map(provenance.fingerprint, sequences)],
        "subjects": sorted({*before.subjects, *(sequence.subject for sequence in sequences)}),
    }
