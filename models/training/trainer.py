"""Labelled sequences and a plan in; a model that was validated, calibrated, and then taught all of them, out."""

import copy
from collections import Counter
from collections.abc import Collection
from collections.abc import Sequence as Row
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.files import atomic_write
from common.keypoints.features import features
from common.labels import NOTHING, check_distinct, is_idle
from common.recognition.classifier import WindowShape, tempered
from common.recognition.decision import Parameters
from common.recording.sequence import KeypointSequence
from models.evaluation import calibration, metrics
from models.simulation.pipeline import SimulatedStream, simulate_stream
from models.training.fit import Trained, learn
from models.training.progress import Progress
from models.training.recipe import NETWORKS, Recipe
from models.training_data import folds, rehearsal, training_set, transitions, windows

WINDOWS: Final = 2000  # of long recordings that are learnt
VALIDATED: Final = "validated.json"
STRIDE: Final = 2  # frames between two windows of a stream that calibrates


class Plan(msgspec.Struct, kw_only=True, frozen=True):
    """How sequences become lessons, and how they are taught."""

    recipe: Recipe = Recipe()
    idle: tuple[str, ...] = ()  # labels that mean "nothing", beside IDLE_NAMES
    shape: WindowShape = WindowShape(length=30, fps=25.0)
    stride: int = 3  # frames between two windows
    folds: int = 3  # to validate: each part is told by a network that was taught the others
    seed: int = 0


class Validated(msgspec.Struct, kw_only=True, frozen=True):
    """What parts showed that were each told by a network that was taught the others."""

    parts: int
    unseen: bool  # parts are of whole recorders
    recorders: dict[str, float]  # accuracy of each
    epochs: int  # after which the loss was lowest
    temperature: float
    decision: Parameters
    metrics: dict[str, float]


class Taught(NamedTuple):
    """A model in memory."""

    labels: list[str]
    idle: list[str]
    plan: Plan
    trained: Trained
    validated: Validated

    def classify(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities (n, labels) of raw windows (n, length, 1662)."""
        told = self.trained.tell(features(windows, self.plan.recipe.features))
        return tempered(told, self.validated.temperature)


class Course:
    """What is taught, to begin with; raises UserError for sequences from which nothing can be learnt."""

    def __init__(self, sequences: Row[KeypointSequence], plan: Plan) -> None:
        self.labels, self.idle = labelled(sequences, plan.idle)
        cut = windows.cut_windows(sequences, self.labels, plan.shape, plan.stride)
        sequences, cut = windows.drop_short(sequences, cut, plan.shape)
        self.sequences, self.plan, recipe = sequences, plan, plan.recipe
        self._shown = windows.subsample(cut, WINDOWS)
        self._parts = folds.make_folds(sequences, plan.folds, plan.seed)
        if recipe.is_notebooks:
            self._lessons = training_set.from_windows(self._shown, recipe.features, len(self.labels))
            return
        idle = [self.labels.index(label) for label in self.idle]
        target = idle[0] if idle else len(self.labels)
        held = transitions.synthetic_idle(sequences, self.idle, plan.shape.length, target, plan.seed)
        if len(held.targets) and not idle:
            self.labels, self.idle, idle = [*self.labels, NOTHING], [NOTHING], [target]
        of_part = np.argmax(self._parts, axis=0)
        self._lessons = training_set.augmented(
            self._shown, held, idle, of_part, recipe.features, len(self.labels), plan.seed
        )

    def by(self, recipe: Recipe) -> "Course":
        """The same course by another recipe; what takes longest, its lessons, is shared where it would be the same."""
        plan, mine = msgspec.structs.replace(self.plan, recipe=recipe), self.plan.recipe
        if (recipe.features, recipe.is_notebooks) != (mine.features, mine.is_notebooks):
            return Course(self.sequences, plan)
        course = copy.copy(self)
        course.plan = plan
        return course

    def teach(self, desk: Path | None = None, progress: Progress | None = None) -> Taught:
        """The model. desk: a folder for logs, and for the state in which an interrupted course goes on."""
        validated = _kept(desk) or self.validate(desk, progress)
        if desk:
            atomic_write(desk / VALIDATED, msgspec.json.encode(validated))
        recipe = msgspec.structs.replace(self.plan.recipe, epochs=validated.epochs)
        trained = learn(recipe, self._lessons, self.plan.seed, desk=desk and desk / "all", progress=progress)
        return Taught(self.labels, self.idle, self.plan, trained, validated)

    def keep_memory(self, folder: Path) -> None:
        """Keep some of the lessons of a network in its folder, for models/adapt.py."""
        if self.plan.recipe.kind in NETWORKS:
            rehearsal.save(folder, self._lessons, self.plan.seed)

    def validate(self, desk: Path | None = None, progress: Progress | None = None) -> Validated:
        """Each part of the sequences is told by a network that was taught the others; all of it calibrates."""
        parts = self._parts
        trained = [
            self._taught_without(part, desk and desk / f"fold {number}", progress)
            for number, part in enumerate(parts, start=1)
        ]
        rows = np.zeros((len(self._shown.targets), len(self.labels)), np.float32)
        for one, part in zip(trained, parts, strict=True):
            inside = part[self._shown.sequences]
            rows[inside] = one.tell(features(self._shown.windows[inside], self.plan.recipe.features))
        idle = [self.labels.index(label) for label in self.idle]
        known = rows if np.isin(self._shown.targets, idle).any() else metrics.mask_labels(rows, idle)
        unseen = folds.are_subject_independent(parts, self.sequences)
        recorders = len({sequence.subject for sequence in self.sequences}) if unseen else None
        wrong = calibration.error_prior(len(known), recorders)
        temperature = calibration.fit_temperature(known, self._shown.targets, wrong)
        scores = metrics.score(tempered(known, temperature), self._shown.targets, self._shown.subjects, self.labels)
        streams = [
            self._stream(one, temperature, [self.sequences[number] for number in np.flatnonzero(part)])
            for one, part in zip(trained, parts, strict=True)
        ]
        decision = calibration.fit_decision(streams, self.idle)
        f1, false_per_minute = calibration.stream_metrics(streams, self.idle, decision)
        return Validated(
            parts=len(parts),
            unseen=unseen,
            recorders=scores.accuracy_by_subject,
            epochs=int(np.median([one.epochs for one in trained])),
            temperature=temperature,
            decision=decision,
            metrics={
                "windows": scores.count,
                "accuracy": scores.accuracy,
                "loss": scores.loss,
                "calibration_error": scores.calibration_error,
                "idle_rate": float(np.isin(rows.argmax(axis=1), idle).mean()) if known is not rows else 0.0,
                "segmental_f1": f1,
                "false_positives_per_minute": false_per_minute,
            },
        )

    def _taught_without(self, part: NDArray[np.bool_], desk: Path | None, progress: Progress | None) -> Trained:
        judged = self._shown.take(part[self._shown.sequences])
        validation = training_set.from_windows(judged, self.plan.recipe.features, len(self.labels))
        taught = self._lessons.excluding_fold(part)
        return learn(self.plan.recipe, taught, self.plan.seed, validation=validation, desk=desk, progress=progress)

    def _stream(self, trained: Trained, temperature: float, sequences: Row[KeypointSequence]) -> SimulatedStream:
        def classify(windows: NDArray[np.float32]) -> NDArray[np.float32]:
            return tempered(trained.tell(features(windows, self.plan.recipe.features)), temperature)

        plan, body = self.plan, self.plan.recipe.features.whole_body
        return simulate_stream(
            classify, self.labels, self.idle, plan.shape, sequences, whole_body=body, stride=STRIDE, seed=plan.seed
        )


def labelled(sequences: Row[KeypointSequence], idle: Collection[str]) -> tuple[list[str], list[str]]:
    """All labels, and those of them that mean "nothing"; raises UserError where they cannot be told apart."""
    counts = Counter(sequence.label for sequence in sequences)
    labels = sorted(counts)
    if len(labels) < 2:
        raise UserError(f"The data has one label, {labels[0]!r}: a model needs at least two to choose from.")
    check_distinct(labels)
    if single := [label for label in labels if counts[label] < 2]:
        raise UserError(f"The data has one sequence of {single[0]!r}: record more, to learn from one and judge by one.")
    if strangers := set(idle) - set(labels):
        raise UserError(f"--idle {sorted(strangers)[0]!r} is none of the labels {', '.join(labels)}.")
    return labels, [label for label in labels if label in idle or is_idle(label)]


def _kept(desk: Path | None) -> Validated | None:
    """What an interrupted course had found."""
    if desk is None or not (desk / VALIDATED).is_file():
        return None
    return msgspec.json.decode((desk / VALIDATED).read_bytes(), type=Validated)
