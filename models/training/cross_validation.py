"""Sequences, a plan and folds in; models that never saw a fold's sequences, and how well they do on them, out."""

import tempfile
import time
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Row
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from rich.console import Console

from common.keypoints.landmarks import SIZE
from common.recognition.classifier import Classifier
from common.recording.sequence import KeypointSequence
from models.evaluation.evaluator import Result, evaluate
from models.storage.folder import write_card
from models.training.card import card_of
from models.training.progress import shown
from models.training.recipe import Recipe
from models.training.trainer import Course, Plan, Taught
from models.training_data.folds import Fold, train_test_split

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
        rest, fold = train_test_split(sequences, out)
        with Console(stderr=True).status("Making lessons ..."):
            course = Course(rest, plan)
        for recipe in recipes or (plan.recipe,):
            yield _crossed(course.by(recipe), fold)


def _crossed(course: Course, fold: list[KeypointSequence]) -> Crossed:
    began = time.monotonic()
    with shown() as progress:
        taught = course.teach(progress=progress)
    training_s = time.monotonic() - began
    result = evaluate(taught.classify, card_of(taught, list(course.sequences), []), by_number(fold))
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
        rejected=one.result.idle_rate,
        event_f1=stream.f1["0.5"],
        false_per_minute=stream.false_positives_per_minute,
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


def by_number(sequences: Iterable[KeypointSequence]) -> dict[str, KeypointSequence]:
    """Named by their places, where nothing shows a better name."""
    return {str(number): sequence for number, sequence in enumerate(sequences)}
