"""A model and labelled sequences in; everything that is said about how well it does on them out."""

from collections.abc import Mapping
from collections.abc import Sequence as Row
from itertools import islice
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from common.config import Decision
from common.errors import UserError
from common.recognition.classifier import Card, WindowShape
from common.recognition.decision import parameters
from common.recording.sequence import KeypointSequence
from models.evaluation import event_metrics
from models.evaluation.event_metrics import EventScores
from models.evaluation.metrics import Scores, score, without
from models.evaluation.provenance import cautions, check_labels
from models.simulation.pipeline import BATCH, Classify, detect_actions, live_windows, simulate_stream
from models.simulation.spans import Detection, Span

AS_THE_CARD_SAYS: Final = Decision(smoothing_s=None, enter=None, leave=None, min_duration_s=None, refractory_s=None)


class Case(msgspec.Struct, kw_only=True, frozen=True):
    """One sequence, by the mean of its windows."""

    name: str
    recorder: str
    label: str
    told: str
    confidence: float  # of what was told
    probability: float  # of what is right


class Result(msgspec.Struct, kw_only=True, frozen=True):
    """How well a model does."""

    cautions: list[str]
    rejected: float  # share of the sequences that are nothing rather than any action, says the model
    sequences: Scores
    windows: Scores
    stream: EventScores
    cases: list[Case]  # the worst first
    true: list[Span]  # on the stream
    found: list[Detection]


def judge(
    classify: Classify, card: Card, named: Mapping[str, KeypointSequence], stride: int = 1, seed: int = 0
) -> Result:
    """By windows, by sequences, and on a stream of them; raises UserError where model and data do not fit."""
    items, sequences = list(named.items()), list(named.values())
    check_labels({sequence.label for sequence in sequences}, card.labels)
    notes, decision = cautions(card, sequences), parameters(card.decision, AS_THE_CARD_SAYS)
    targets = np.array([card.labels.index(sequence.label) for sequence in sequences])
    whose, rows = classified(classify, sequences, card.window, stride)
    judged = np.unique(whose)
    if short := len(sequences) - len(judged):
        notes.append(f"{short} of {len(sequences)} sequences are too short for a window: the stream alone has them.")
    means = np.stack([rows[whose == number].mean(axis=0) for number in judged])
    idle = [card.labels.index(label) for label in card.idle]
    rejected = float(np.isin(means.argmax(axis=1), idle).mean())
    if not np.isin(targets, idle).any():
        means, rows = without(means, idle), without(rows, idle)
    recorders = np.array([sequence.subject for sequence in sequences])
    body = card.features.whole_body
    true, moments = simulate_stream(
        classify, card.labels, card.idle, card.window, sequences, whole_body=body, stride=stride, seed=seed
    )
    found = detect_actions(moments, decision, card.idle)
    return Result(
        cautions=notes,
        rejected=rejected,
        sequences=score(means, targets[judged], recorders[judged], card.labels),
        windows=score(rows, targets[whose], recorders[whose], card.labels),
        stream=event_metrics.judge(found, true, moments[-1].captured_s),
        cases=_cases([items[number] for number in judged], means, card.labels),
        true=true,
        found=found,
    )


def classified(
    classify: Classify, sequences: Row[KeypointSequence], shape: WindowShape, stride: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The number of each window's sequence (n,), and its probabilities (n, labels).

    Raises UserError if no sequence is long enough, and if the model tells no numbers.
    """
    windows = (
        (number, window)
        for number, sequence in enumerate(sequences)
        for window in live_windows(sequence, shape, stride)
    )
    whose, chunks = list[int](), list[NDArray[np.float32]]()
    while chunk := list(islice(windows, BATCH)):
        whose += [number for number, _ in chunk]
        chunks.append(classify(np.stack([window for _, window in chunk])))
    if not chunks:
        longest_s = max(int(sequence.captured_ns[-1] - sequence.captured_ns[0]) for sequence in sequences) / 1e9
        frames = max(len(sequence.captured_ns) for sequence in sequences)
        rate = f" at {shape.fps:g} frames/s" if shape.fps else ""
        raise UserError(
            f"The model takes windows of {shape.length} frames{rate}, but the longest sequence has {frames} in "
            f"{longest_s:.2f} s: none is long enough."
        )
    rows = np.concatenate(chunks)
    if not np.isfinite(rows).all():
        raise UserError("The model tells probabilities that are not numbers: its weights are damaged, train it again.")
    return np.array(whose), rows


def _cases(named: Row[tuple[str, KeypointSequence]], means: NDArray[np.floating], labels: Row[str]) -> list[Case]:
    cases = [
        Case(
            name=name,
            recorder=sequence.subject,
            label=sequence.label,
            told=labels[int(row.argmax())],
            confidence=float(row.max()),
            probability=float(row[labels.index(sequence.label)]),
        )
        for (name, sequence), row in zip(named, means, strict=True)
    ]
    return sorted(cases, key=lambda case: case.probability)
