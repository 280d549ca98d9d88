"""Evaluate recipes on test folds: each model is trained on the sequences of all other folds."""

import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from rich.console import Console

from common.keypoints.landmarks import SIZE
from common.recognition.classifier import Classifier
from common.recording.sequence import KeypointSequence
from models.evaluation.evaluator import Evaluation, evaluate
from models.storage.folder import write_card
from models.training.card import TrainedModel
from models.training.progress import progress_bar
from models.training.recipe import Recipe, TrainingConfig
from models.training.trainer import Trainer
from models.training_data.folds import Fold, train_test_split

WARM_UP: Final = 20  # windows
TIMED: Final = 100


class FoldModel(NamedTuple):
    """A model, and its evaluation on one test fold."""

    model: TrainedModel
    result: Evaluation
    test: list[KeypointSequence]
    training_s: float  # without the making of the training set, which recipes share


class FoldMetrics(msgspec.Struct, kw_only=True, frozen=True):
    """Metrics of one architecture on one test fold."""

    architecture: str
    seed: int
    fold: int
    subjects: list[str]  # of the fold
    sequences: int
    accuracy: float
    loss: float
    calibration_error: float
    idle_rate: float  # ratio of sequences that the model would call idle
    segmental_f1: float  # at an IoU of 0.5
    false_positives_per_minute: float
    parameters: int
    ms_per_window: float
    training_s: float


def cross_validate(
    sequences: Sequence[KeypointSequence], config: TrainingConfig, folds: Iterable[Fold], recipes: Sequence[Recipe] = ()
) -> Iterator[FoldModel]:
    """Yield for each test fold a model of each recipe, or of the configuration's if there are none."""
    for fold in folds:
        train, test = train_test_split(sequences, fold)
        with Console(stderr=True).status("Preparing training data ..."):
            trainer = Trainer(train, config)
        for recipe in recipes or (config.recipe,):
            yield fit_and_evaluate(trainer.with_recipe(recipe), test)


def fit_and_evaluate(trainer: Trainer, test: list[KeypointSequence]) -> FoldModel:
    """Fit a model, and evaluate it on test sequences."""
    started = time.monotonic()
    with progress_bar() as progress:
        model = trainer.fit(progress=progress)
    training_s = time.monotonic() - started
    return FoldModel(model, evaluate(model.classify, model.card, numbered(test)), test, training_s)


def fold_metrics(one: FoldModel, architecture: str, seed: int, fold: int) -> FoldMetrics:
    """Return the metrics of a model on its test fold, with the time that a window takes."""
    scores, stream = one.result.sequences, one.result.stream
    return FoldMetrics(
        architecture=architecture,
        seed=seed,
        fold=fold,
        subjects=sorted({sequence.subject for sequence in one.test}),
        sequences=scores.count,
        accuracy=scores.accuracy,
        loss=scores.loss,
        calibration_error=scores.calibration_error,
        idle_rate=one.result.idle_rate,
        segmental_f1=stream.f1["0.5"],
        false_positives_per_minute=stream.false_positives_per_minute,
        parameters=one.model.card.parameters,
        ms_per_window=_ms_per_window(one),
        training_s=one.training_s,
    )


def _ms_per_window(one: FoldModel) -> float:
    """Return the median time of features and prediction of one window, loaded from its folder as live."""
    times, window = [], np.resize(one.test[0].keypoints, (1, one.model.card.window.length, SIZE))
    with tempfile.TemporaryDirectory() as folder:
        one.model.classifier.save(Path(folder))
        write_card(Path(folder), one.model.card)
        classify = Classifier(folder)
        for _ in range(WARM_UP + TIMED):
            started = time.perf_counter()
            classify(window)
            times.append(time.perf_counter() - started)
    return float(np.median(times[WARM_UP:])) * 1e3


def numbered(sequences: Iterable[KeypointSequence]) -> dict[str, KeypointSequence]:
    """Return sequences by their position, where no better names are needed."""
    return {str(number): sequence for number, sequence in enumerate(sequences)}
