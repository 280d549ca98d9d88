"""Sequences, a plan and folds in; models that never saw a fold's sequences, and how well they do on them, out."""

import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Row
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from rich.console import Console

from common.errors import UserError
from common.keypoints.landmarks import SIZE
from common.recognition.classifier import Classifier
from common.recording.sequence import KeypointSequence
from models.evaluation.evaluator import Result, judge
from models.storage.folder import write_card
from models.training.card import card_of
from models.training.progress import shown
from models.training.recipe import Recipe
from models.training.trainer import Course, Plan, Taught
from models.training_data import folds
from models.training_data.folds import Fold

WARM_UP: Final = 20  # windows
TIMED: Final = 100


class Crossed(NamedTuple):
    """A model, and how well it does on one fold."""

    taught: Taught
    result: Result
    fold: list[KeypointSequence]  # it was judged on
    training_s: float  # without the making of lessons, which recipes share


class Figures(msgspec.Struct, kw_only=True, frozen=True):
    """A model of a kind, judged on one fold."""

    kind: str
    seed: int
    fold: int
    recorders: list[str]  # who judged
    sequences: int
    accuracy: float
    loss: float
    calibration_error: float
    rejected: float  # share of the sequences that are nothing rather than any action, says the model
    event_f1: float  # at an overlap of 0.5, on a stream
    false_per_minute: float
    parameters: int
    ms_per_window: float
    training_s: float


def crossed(
    sequences: Row[KeypointSequence], plan: Plan, parts: Iterable[Fold], recipes: Row[Recipe] = ()
) -> Iterator[Crossed]:
    """Fold by fold, a model by each recipe (the plan's, if none is named), which all other sequences have taught."""
    for out in parts:
        rest, fold = parted(sequences, out)
        with Console(stderr=True).status("Making lessons ..."):
            course = Course(rest, plan)
        for recipe in recipes or (plan.recipe,):
            yield _crossed(course.by(recipe), fold)


def _crossed(course: Course, fold: list[KeypointSequence]) -> Crossed:
    began = time.monotonic()
    with shown() as progress:
        taught = course.teach(progress=progress)
    training_s = time.monotonic() - began
    result = judge(taught.classify, card_of(taught, list(course.sequences), []), by_number(fold))
    return Crossed(taught, result, fold, training_s)


def figures_of(one: Crossed, kind: str, seed: int, fold: int) -> Figures:
    scores, stream = one.result.sequences, one.result.stream
    return Figures(
        kind=kind,
        seed=seed,
        fold=fold,
        recorders=sorted({sequence.subject for sequence in one.fold}),
        sequences=scores.count,
        accuracy=scores.accuracy,
        loss=scores.loss,
        calibration_error=scores.calibration_error,
        rejected=one.result.rejected,
        event_f1=stream.f1["0.5"],
        false_per_minute=stream.false_per_minute,
        parameters=one.taught.trained.parameters,
        ms_per_window=_ms_per_window(one),
        training_s=one.training_s,
    )


def _ms_per_window(one: Crossed) -> float:
    """The median time of one window through features and network, loaded from its folder as live."""
    times, window = [], np.resize(one.fold[0].keypoints, (1, one.taught.plan.shape.length, SIZE))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one.taught.trained.save(folder)
        write_card(folder, card_of(one.taught, one.fold, []))
        classify = Classifier(folder)
        for _ in range(WARM_UP + TIMED):
            began = time.perf_counter()
            classify(window)
            times.append(time.perf_counter() - began)
    return float(np.median(times[WARM_UP:])) * 1e3


def folded(sequences: Row[KeypointSequence], count: int | None, seed: int) -> list[Fold]:
    """So many parts that judge: of whole recorders where there are several; None: each recorder is one.

    Raises UserError where there are too few recorders or sequences, or a label could not be learnt without a part.
    """
    recorders = [sequence.subject for sequence in sequences]
    if count is None:
        parts = list(folds.leave_one_out(recorders).values())
    elif len(set(recorders)) > 1:
        parts = folds.by_recorder(recorders, count, seed)
    else:
        parts = folds.stratified([sequence.label for sequence in sequences], count, seed)
    _check_teachable(sequences, parts)
    return parts


def _check_teachable(sequences: Row[KeypointSequence], parts: Row[Fold]) -> None:
    """Raises UserError where a label cannot be learnt without one of the folds."""
    for out in parts:
        left = Counter(sequence.label for sequence in parted(sequences, out)[0])
        for label in sorted({sequence.label for sequence in sequences}):
            if left[label] < 2:
                raise UserError(
                    f"Too few sequences of {label!r}, {left[label]}, are left to learn from when a fold is held out to "
                    "judge: record it more often, and by several people where several record."
                )


def by_number(sequences: Iterable[KeypointSequence]) -> dict[str, KeypointSequence]:
    """Named by their places, where nothing shows a better name."""
    return {str(number): sequence for number, sequence in enumerate(sequences)}


def parted(sequences: Iterable[KeypointSequence], out: Fold) -> tuple[list[KeypointSequence], list[KeypointSequence]]:
    """Who teaches, and who judges."""
    parts: tuple[list[KeypointSequence], list[KeypointSequence]] = ([], [])
    for sequence, judging in zip(sequences, out, strict=True):
        parts[bool(judging)].append(sequence)
    return parts
