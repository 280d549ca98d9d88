"""A model's card and the data that are to judge it in; whether they fit, and what to bear in mind, out."""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from typing import Final

import msgspec

from common.errors import UserError
from common.labels import normalize_label
from common.recognition.classifier import Card
from common.recording.sequence import UNKNOWN_SUBJECT, KeypointSequence
from models.simulation.pipeline import can_confirm_person, parts_present

DIGITS: Final = 12  # of a fingerprint: one in a million million sequences is taken for another
SHOWN: Final = 6  # names in a sentence


class Known(msgspec.Struct, kw_only=True, frozen=True):
    """What a card's `data` may say of the sequences the model was made with."""

    recorders: list[str] = []
    recorders_held_out: list[str] = []  # not trained on, but the best epoch was chosen by them
    sha256: str = ""  # of all sequences, in order
    fingerprints: list[str] = []  # of each sequence
    parts: list[str] = []  # that were seen in any frame


def fingerprint(sequence: KeypointSequence) -> str:
    """By its keypoints alone: the same performance under another label, recorder or rate is the same."""
    return hashlib.sha256(sequence.keypoints.tobytes()).hexdigest()[:DIGITS]


def digest(sequences: Iterable[KeypointSequence]) -> str:
    """Of a whole data set, in order."""
    whole = hashlib.sha256()
    for sequence in sequences:
        whole.update(sequence.label.encode() + sequence.keypoints.tobytes() + sequence.captured_ns.tobytes())
    return whole.hexdigest()


def work(plan: object, sequences: Collection[KeypointSequence]) -> str:
    """Stands for what is done with which data: who recorded it matters too, since parts are made by it."""
    facts = msgspec.json.encode((plan, [sequence.subject for sequence in sequences]))
    return hashlib.sha256(facts + digest(sequences).encode()).hexdigest()


def check_labels(data: Collection[str], model: Collection[str]) -> None:
    """Raises UserError for a label that the model cannot tell, naming both sides."""
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
            f"{_some(map(repr, model))}: judge it on other data, or train it on these labels too."
        )


def cautions(card: Card, sequences: Collection[KeypointSequence]) -> list[str]:
    """Why the figures may say less than they seem to; raises UserError for a card whose `data` cannot be read."""
    made_with = known(card)
    return [*_shared(made_with, sequences), *_other(card, made_with.parts, sequences)]


def known(card: Card) -> Known:
    """Raises UserError for a card whose `data` cannot be read."""
    try:
        return msgspec.convert(card.data, Known)
    except msgspec.ValidationError as error:
        raise UserError(f"What the model's card says of its data cannot be read: {error}.") from error


def _shared(known: Known, sequences: Collection[KeypointSequence]) -> Iterator[str]:
    """What the model was made with and is judged on."""
    recorders = {sequence.subject for sequence in sequences} - {UNKNOWN_SUBJECT, ""}
    held_out = recorders & set(known.recorders_held_out)
    trained = (recorders & set(known.recorders)) - held_out
    same = sum(fingerprint(sequence) in known.fingerprints for sequence in sequences) if known.fingerprints else 0
    if known.sha256 == digest(sequences):
        yield "The model was made with this very data set: it shows memory, not skill."
    elif same:
        yield f"The model was made with {same} of the {len(sequences)} sequences: judge it on others."
    if trained:
        yield f"The model was trained on {_some(trained)}, of {len(recorders)} recorders here: it has seen them."
    if held_out:
        yield f"The model's best epoch was chosen by {_some(held_out)}: it knows them a little."
    if not recorders:
        yield "The data does not say who recorded it: nobody can tell whether the model has seen them."


def _other(card: Card, parts: Collection[str], sequences: Collection[KeypointSequence]) -> Iterator[str]:
    labels, seen = {sequence.label for sequence in sequences}, parts_present(sequences)
    if len(labels) == 1:
        yield f"The data has one label, {labels.pop()!r}: a model that always says it would be right."
    if not card.idle:
        yield "The model has no idle label: between actions it can only be unsure."
    if missing := [part.replace("_", " ") for part in parts if part not in seen]:
        yield f"The model was trained with {' and '.join(missing)}, which no frame of the data has."
    if not can_confirm_person(seen):
        yield (
            f"The data has {' and '.join(seen).replace('_', ' ') or 'nobody in it'} alone: on the stream whoever shows "
            "this is there, where live something must confirm a pose: a face or hand, or legs for a model of the body."
        )


def _some(names: Iterable[str]) -> str:
    in_order = sorted(names)
    more = f" and {len(in_order) - SHOWN} more" if len(in_order) > SHOWN else ""
    return ", ".join(in_order[:SHOWN]) + more
