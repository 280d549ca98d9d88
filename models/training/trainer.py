"""Train a model on labelled sequences: cross-validate, calibrate, and fit it to all of them."""

import copy
import platform
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.files import atomic_write
from common.keypoints.landmarks import LAYOUT
from common.labels import NOTHING, check_distinct, is_idle
from common.recognition.classifier import ModelCard, temperature_scale
from common.recognition.decision import Parameters
from common.recording.sequence import KeypointSequence
from models.evaluation import calibration, metrics, provenance
from models.simulation.pipeline import SimulatedStream, parts_present, simulate_stream
from models.training.card import TrainedModel, commit, versions
from models.training.fit import FittedClassifier, fit
from models.training.progress import Progress
from models.training.recipe import Recipe, TrainingConfig
from models.training_data import folds, training_set, transitions, windows
from models.training_data.training_set import TrainingSet
from models.training_data.windows import WindowSet

MAX_WINDOWS: Final = 2000  # of the sequences, before augmentation
VALIDATION: Final = "validation.json"
STREAM_STRIDE: Final = 2  # frames between two windows of a simulated stream


class CrossValidation(msgspec.Struct, kw_only=True, frozen=True):
    """What models measured on folds that they were not trained on, and what was fitted to it."""

    folds: int
    subject_independent: bool  # folds are grouped by subject
    accuracy_by_subject: dict[str, float]
    epochs: int  # median over the folds
    temperature: float
    decision: Parameters
    metrics: dict[str, float]


class Trainer:
    """Prepares training data, and fits models to it; raises UserError for sequences that cannot train a model."""

    def __init__(self, sequences: Sequence[KeypointSequence], config: TrainingConfig) -> None:
        self.config = config
        self.labels, self.idle = find_labels(sequences, config.idle)
        cut = windows.cut_windows(sequences, self.labels, config.window, config.stride)
        self.sequences, cut = windows.drop_short(sequences, cut, config.window)
        cut = windows.subsample(cut, MAX_WINDOWS)
        _, self._targets, self._subjects, self._sequence_of = cut
        self._folds = folds.make_folds(self.sequences, config.folds, config.seed)
        self._training_set = self._make_training_set(cut)

    def _make_training_set(self, cut: WindowSet) -> TrainingSet:
        """Return the training set, with an idle label of its own where the sequences have none."""
        recipe, seed = self.config.recipe, self.config.seed
        if recipe.is_notebook_baseline:
            return training_set.from_windows(cut, recipe.features, len(self.labels))
        idle = [self.labels.index(label) for label in self.idle]
        target = idle[0] if idle else len(self.labels)
        length = self.config.window.length
        synthetic = transitions.synthetic_idle(self.sequences, self.idle, length, target, seed)
        if len(synthetic.targets) and not idle:
            self.labels, self.idle, idle = [*self.labels, NOTHING], [NOTHING], [target]
        fold_of = np.argmax(self._folds, axis=0)
        return training_set.augmented(cut, synthetic, idle, fold_of, recipe.features, len(self.labels), seed)

    def with_recipe(self, recipe: Recipe) -> "Trainer":
        """Return a trainer for another recipe; it shares the training set, the slow part, where it is the same."""
        config, mine = msgspec.structs.replace(self.config, recipe=recipe), self.config.recipe
        if (recipe.features, recipe.is_notebook_baseline) != (mine.features, mine.is_notebook_baseline):
            return Trainer(self.sequences, config)
        other = copy.copy(self)
        other.config = config
        return other

    def fit(self, checkpoint_dir: Path | None = None, progress: Progress | None = None) -> TrainedModel:
        """Cross-validate, then fit a model to all data.

        checkpoint_dir: for logs, and for the state that an interrupted run resumes from.
        """
        validation = _load_validation(checkpoint_dir) or self.validate(checkpoint_dir, progress)
        if checkpoint_dir:
            atomic_write(checkpoint_dir / VALIDATION, msgspec.json.encode(validation))
        recipe = msgspec.structs.replace(self.config.recipe, epochs=validation.epochs)
        folder = checkpoint_dir and checkpoint_dir / "all"
        classifier = fit(recipe, self._training_set, self.config.seed, checkpoint_dir=folder, progress=progress)
        return TrainedModel(self._card(classifier, validation), classifier, self._training_set)

    def validate(self, checkpoint_dir: Path | None = None, progress: Progress | None = None) -> CrossValidation:
        """Fit a model without each fold, and calibrate by its predictions for that fold."""
        recipe, seed = self.config.recipe, self.config.seed
        probabilities, classifiers = np.zeros((len(self._targets), len(self.labels)), np.float32), []
        for number, fold in enumerate(self._folds, start=1):
            train, validation = self._training_set.split(fold)
            folder = checkpoint_dir and checkpoint_dir / f"fold {number}"
            classifier = fit(recipe, train, seed, validation=validation, checkpoint_dir=folder, progress=progress)
            probabilities[fold[self._sequence_of]] = classifier.predict(validation.features[0])
            classifiers.append(classifier)
        return self._calibrate(classifiers, probabilities)

    def _calibrate(
        self, classifiers: Sequence[FittedClassifier], probabilities: NDArray[np.float32]
    ) -> CrossValidation:
        """Fit temperature and decision; classifiers: one a fold; probabilities: (windows, labels) of their folds."""
        targets, idle = self._targets, [self.labels.index(label) for label in self.idle]
        has_idle = np.isin(targets, idle).any()
        known = probabilities if has_idle else metrics.mask_labels(probabilities, idle)
        subject_independent = folds.are_subject_independent(self._folds, self.sequences)
        subjects = len({sequence.subject for sequence in self.sequences}) if subject_independent else None
        temperature = calibration.fit_temperature(known, targets, calibration.error_prior(len(known), subjects))
        scores = metrics.score(temperature_scale(known, temperature), targets, self._subjects, self.labels)
        streams = [
            self._simulate(classifier, temperature, [self.sequences[number] for number in np.flatnonzero(fold)])
            for classifier, fold in zip(classifiers, self._folds, strict=True)
        ]
        decision = calibration.fit_decision(streams, self.idle)
        f1, false_positives = calibration.stream_metrics(streams, self.idle, decision)
        return CrossValidation(
            folds=len(self._folds),
            subject_independent=subject_independent,
            accuracy_by_subject=scores.accuracy_by_subject,
            epochs=int(np.median([classifier.epochs for classifier in classifiers])),
            temperature=temperature,
            decision=decision,
            metrics={
                "windows": scores.count,
                "accuracy": scores.accuracy,
                "loss": scores.loss,
                "calibration_error": scores.calibration_error,
                "idle_rate": 0.0 if has_idle else float(np.isin(probabilities.argmax(axis=1), idle).mean()),
                "segmental_f1": f1,
                "false_positives_per_minute": false_positives,
            },
        )

    def _simulate(
        self, classifier: FittedClassifier, temperature: float, sequences: Sequence[KeypointSequence]
    ) -> SimulatedStream:
        config, features = self.config, self.config.recipe.features
        return simulate_stream(
            classifier.calibrated(features, temperature),
            self.labels,
            self.idle,
            config.window,
            sequences,
            whole_body=features.whole_body,
            stride=STREAM_STRIDE,
            seed=config.seed,
        )

    def _card(self, classifier: FittedClassifier, validation: CrossValidation) -> ModelCard:
        config, sequences = self.config, self.sequences
        return ModelCard(
            layout=LAYOUT,
            labels=self.labels,
            idle=self.idle,
            window=config.window,
            features=config.recipe.features,
            temperature=validation.temperature,
            decision=validation.decision,
            layers=classifier.layers,
            parameters=classifier.parameters,
            data={
                "sha256": provenance.digest(sequences),
                "fingerprints": [provenance.fingerprint(sequence) for sequence in sequences],
                "parts": parts_present(sequences),
                "sequences": len(sequences),
                "subjects": sorted({sequence.subject for sequence in sequences}),
            },
            metrics={
                "validation": validation.metrics,
                "split": f"{validation.folds}-fold cross-validation",
                "subject_independent": validation.subject_independent,
                "accuracy_by_subject": validation.accuracy_by_subject,
            },
            seed=config.seed,
            recipe=msgspec.to_builtins(config.recipe),
            versions={"python": platform.python_version(), **versions()},
            commit=commit(),
            trained=datetime.now(timezone.utc).date().isoformat(),
        )


def find_labels(sequences: Sequence[KeypointSequence], idle: Collection[str]) -> tuple[list[str], list[str]]:
    """Return all labels, and the idle ones among them; raises UserError for labels that no model can be trained on."""
    counts = Counter(sequence.label for sequence in sequences)
    labels = sorted(counts)
    if len(labels) < 2:
        raise UserError(f"The data has one label, {labels[0]!r}: record another one, since a model needs at least two.")
    check_distinct(labels)
    if single := [label for label in labels if counts[label] < 2]:
        raise UserError(
            f"The data has one sequence of {single[0]!r}: record more, to train on one and validate on one."
        )
    if unknown := set(idle) - set(labels):
        raise UserError(f"--idle {sorted(unknown)[0]!r} is none of the labels {', '.join(labels)}.")
    return labels, [label for label in labels if label in idle or is_idle(label)]


def _load_validation(checkpoint_dir: Path | None) -> CrossValidation | None:
    """Return what an interrupted run has validated."""
    if checkpoint_dir is None or not (checkpoint_dir / VALIDATION).is_file():
        return None
    return msgspec.json.decode((checkpoint_dir / VALIDATION).read_bytes(), type=CrossValidation)
