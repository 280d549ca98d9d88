"""Evaluate a model on labelled sequences: by window, by sequence, and on a continuous stream of them."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from common.config import Decision
from common.errors import UserError
from common.recognition.classifier import ModelCard, WindowSpec
from common.recognition.decision import merge_parameters
from common.recording.sequence import KeypointSequence
from models.evaluation import event_metrics
from models.evaluation.event_metrics import EventScores
from models.evaluation.metrics import Scores, mask_labels, score
from models.evaluation.provenance import check_labels, warnings
from models.simulation.pipeline import BATCH, Classify, detect_actions, live_windows, simulate_stream
from models.simulation.spans import Detection, Span

NO_OVERRIDES: Final = Decision(
    smoothing_s=None, start_threshold=None, end_threshold=None, min_duration_s=None, refractory_s=None
)


class Case(msgspec.Struct, kw_only=True, frozen=True):
    """One sequence, by the mean of its windows."""

    name: str
    subject: str
    label: str
    predicted: str
    confidence: float  # of the predicted label
    probability: float  # of the true label


class Evaluation(msgspec.Struct, kw_only=True, frozen=True):
    """How well a model does."""

    warnings: list[str]
    idle_rate: float  # ratio of sequences that the model would call idle
    sequences: Scores
    windows: Scores
    stream: EventScores
    cases: list[Case]  # by the probability of the true label, increasing
    ground_truth: list[Span]  # on the stream
    detections: list[Detection]


def evaluate(
    classify: Classify, card: ModelCard, named: Mapping[str, KeypointSequence], stride: int = 1, seed: int = 0
) -> Evaluation:
    """Evaluate on named sequences; raises UserError where model and data do not fit.

    Where no sequence has an idle label, idle labels are left out of the choice by window and by sequence.
    """
    items, sequences = list(named.items()), list(named.values())
    check_labels({sequence.label for sequence in sequences}, card.labels)
    notes, decision = warnings(card, sequences), merge_parameters(card.decision, NO_OVERRIDES)
    sequence_of, rows = classify_windows(classify, sequences, card.window, stride)
    long = np.unique(sequence_of)
    if short := len(sequences) - len(long):
        notes.append(f"{short} of {len(sequences)} sequences are too short for a window: only the stream has them.")
    means = np.stack([rows[sequence_of == number].mean(axis=0) for number in long])
    targets = np.array([card.labels.index(sequence.label) for sequence in sequences])
    subjects = np.array([sequence.subject for sequence in sequences])
    idle = [card.labels.index(label) for label in card.idle]
    idle_rate = float(np.isin(means.argmax(axis=1), idle).mean())
    if not np.isin(targets, idle).any():
        means, rows = mask_labels(means, idle), mask_labels(rows, idle)
    body = card.features.whole_body
    ground_truth, predictions = simulate_stream(
        classify, card.labels, card.idle, card.window, sequences, whole_body=body, stride=stride, seed=seed
    )
    detections = detect_actions(predictions, decision, card.idle)
    return Evaluation(
        warnings=notes,
        idle_rate=idle_rate,
        sequences=score(means, targets[long], subjects[long], card.labels),
        windows=score(rows, targets[sequence_of], subjects[sequence_of], card.labels),
        stream=event_metrics.score_events(detections, ground_truth, predictions[-1].captured_s),
        cases=_cases([items[number] for number in long], means, card.labels),
        ground_truth=ground_truth,
        detections=detections,
    )


def classify_windows(
    classify: Classify, sequences: Sequence[KeypointSequence], shape: WindowSpec, stride: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the index of each window's sequence (n,), and its probabilities (n, labels).

    Raises UserError if no sequence is long enough, or if probabilities are not finite.
    """
    windows = (
        (number, window)
        for number, sequence in enumerate(sequences)
        for window in live_windows(sequence, shape, stride)
    )
    sequence_of, batches = list[int](), list[NDArray[np.float32]]()
    while batch := list(islice(windows, BATCH)):
        sequence_of += [number for number, _ in batch]
        batches.append(classify(np.stack([window for _, window in batch])))
    if not batches:
        longest_s = max(int(sequence.captured_ns[-1] - sequence.captured_ns[0]) for sequence in sequences) / 1e9
        frames = max(len(sequence.captured_ns) for sequence in sequences)
        rate = f" at {shape.fps:g} frames/s" if shape.fps else ""
        raise UserError(
            f"The model takes windows of {shape.length} frames{rate}, but the longest sequence has {frames} in "
            f"{longest_s:.2f} s: record longer ones."
        )
    rows = np.concatenate(batches)
    if not np.isfinite(rows).all():
        raise UserError("The model's probabilities are not finite: its weights are damaged, train it again.")
    return np.array(sequence_of), rows


def _cases(
    named: Sequence[tuple[str, KeypointSequence]], means: NDArray[np.floating], labels: Sequence[str]
) -> list[Case]:
    cases = [
        Case(
            name=name,
            subject=sequence.subject,
            label=sequence.label,
            predicted=labels[int(row.argmax())],
            confidence=float(row.max()),
            probability=float(row[labels.index(sequence.label)]),
        )
        for (name, sequence), row in zip(named, means, strict=True)
    ]
    return sorted(cases, key=lambda case: case.probability)
