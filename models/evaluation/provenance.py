"""Check whether a model can be evaluated on data, and warn of data leakage and other limits."""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from typing import Final

import msgspec

from common.errors import UserError
from common.labels import normalize_label
from common.recognition.classifier import ModelCard
from common.recording.sequence import UNKNOWN_SUBJECT, KeypointSequence
from models.simulation.pipeline import can_confirm_person, parts_present

DIGITS: Final = 12  # of a fingerprint: one in 10^12 sequences is mistaken for another
MAX_NAMES: Final = 6  # in a sentence


class DataProvenance(msgspec.Struct, kw_only=True, frozen=True):
    """What a card's `data` may record of the sequences the model was trained on."""

    subjects: list[str] = []
    validation_subjects: list[str] = []  # not trained on, but the best epoch was chosen by them
    sha256: str = ""  # of all sequences, in order
    fingerprints: list[str] = []  # of each sequence
    parts: list[str] = []  # present in any frame


def fingerprint(sequence: KeypointSequence) -> str:
    """Return a hash of the keypoints only, so that a sequence is known under another label, subject or frame rate."""
    return hashlib.sha256(sequence.keypoints.tobytes()).hexdigest()[:DIGITS]


def digest(sequences: Iterable[KeypointSequence]) -> str:
    """Return the SHA-256 of a data set: labels, keypoints and times, in order."""
    sha256 = hashlib.sha256()
    for sequence in sequences:
        sha256.update(sequence.label.encode() + sequence.keypoints.tobytes() + sequence.captured_ns.tobytes())
    return sha256.hexdigest()


def run_key(config: object, sequences: Collection[KeypointSequence]) -> str:
    """Return a hash that identifies a training run: its configuration, data and subjects, which define the folds."""
    facts = msgspec.json.encode((config, [sequence.subject for sequence in sequences]))
    return hashlib.sha256(facts + digest(sequences).encode()).hexdigest()


def check_labels(data: Collection[str], model: Collection[str]) -> None:
    """Raise UserError for a label that the model does not have, naming both sides."""
    unknown = [label for label in data if label not in model]
    alike = {normalize_label(label): label for label in model}
    for label in unknown:
        if normalize_label(label) in alike:
            raise UserError(
                f"The data says {label!r} where the model says {alike[normalize_label(label)]!r}: "
                "rename one, since labels must agree to the letter."
            )
    if unknown:
        raise UserError(
            f"The data has labels that the model does not know, {_some(map(repr, unknown))}; it knows "
            f"{_some(map(repr, model))}: evaluate it on other data, or train it on these labels too."
        )


def warnings(card: ModelCard, sequences: Collection[KeypointSequence]) -> list[str]:
    """Return why metrics may be too good or mean little; raises UserError for a card whose `data` cannot be read."""
    trained_on = data_provenance(card)
    return [*_leakage(trained_on, sequences), *_limits(card, trained_on.parts, sequences)]


def data_provenance(card: ModelCard) -> DataProvenance:
    """Read a card's `data`; raises UserError if it cannot be read."""
    try:
        return msgspec.convert(card.data, DataProvenance)
    except msgspec.ValidationError as error:
        raise UserError(f"`data` of the model's card cannot be read: {error}; train the model again.") from error


def _leakage(trained_on: DataProvenance, sequences: Collection[KeypointSequence]) -> Iterator[str]:
    subjects = {sequence.subject for sequence in sequences} - {UNKNOWN_SUBJECT, ""}
    validation = subjects & set(trained_on.validation_subjects)
    trained = (subjects & set(trained_on.subjects)) - validation
    same = sum(fingerprint(sequence) in trained_on.fingerprints for sequence in sequences)
    if trained_on.sha256 == digest(sequences):
        yield "Data leakage: the model was trained on this data set."
    elif same:
        yield f"Data leakage: the model was trained on {same} of the {len(sequences)} sequences."
    if trained:
        yield f"The model was trained on recordings of {_some(trained)}, of {len(subjects)} subjects here."
    if validation:
        yield f"The model's best epoch was chosen by recordings of {_some(validation)}."
    if not subjects:
        yield "The data does not name its subjects: whether the model was trained on them is unknown."


def _limits(card: ModelCard, parts: Collection[str], sequences: Collection[KeypointSequence]) -> Iterator[str]:
    labels, present = {sequence.label for sequence in sequences}, parts_present(sequences)
    if len(labels) == 1:
        yield f"The data has one label, {labels.pop()!r}: a model that always predicts it would be right."
    if not card.idle:
        yield "The model has no idle label: between actions only low confidence keeps it from reporting one."
    if missing := [part.replace("_", " ") for part in parts if part not in present]:
        yield f"The model was trained with {' and '.join(missing)}, which no frame of the data has."
    if not can_confirm_person(present):
        yield (
            f"The data has {' and '.join(present).replace('_', ' ') or 'nobody in it'} only: the stream takes any part "
            "for a person, where live a face, a hand, or for a model of the body a leg must confirm a pose."
        )


def _some(names: Iterable[str]) -> str:
    in_order = sorted(names)
    more = f" and {len(in_order) - MAX_NAMES} more" if len(in_order) > MAX_NAMES else ""
    return ", ".join(in_order[:MAX_NAMES]) + more
