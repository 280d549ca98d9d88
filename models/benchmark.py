"""Measure this project's models on the benchmark data sets, as a table and JSON.

    python -m models.benchmark DATA --json benchmark.json

Test data takes no part in training, nor in fitting epochs, temperature and decision; but third_party_models evaluates
networks of other projects as their authors did, on their own data. It takes 50 minutes on two cores; --only runs some
of the tasks.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from common.errors import UserError, command
from common.files import atomic_write
from common.keypoints.features import Features
from common.keypoints.landmarks import SIZE
from common.recognition.classifier import Classifier
from common.recording.sequence import KeypointSequence
from data import dataset
from data.extraction.run import extract
from models.evaluation.evaluator import Evaluation, evaluate
from models.storage.importer import import_model
from models.training.adaptation import adapt
from models.training.card import save
from models.training.cross_validation import cross_validate, fit_and_evaluate, numbered
from models.training.recipe import ARCHITECTURES, NETWORKS, Recipe, TrainingConfig
from models.training.trainer import Trainer
from models.training_data.folds import stratified_folds, train_test_split

SPLITS: Final = 3  # of the subjects
FOLDS: Final = 5
MIT: Final = ("recorder_14", "recorder_16")  # subjects whose recordings are MIT licensed, as their files say
EXAMPLES: Final = 3  # of each sign, to adapt with
SIGNS: Final = [
    *("predicting.....", "come", "sleep", "eat", "yes", "no", "good", "thin"),
    *("more", "same", "small", "flower", "sun", "star", "moon", "road"),
]
EXERCISES: Final = ["curls", "lateral rises", "squat", "front rises", "shoulder press", "chest flys"]
EXERCISE_FEATURES: Final = Features(kind="body", parts=("pose", "joint_angles"))
TOLERANCE: Final = 0.005  # to the accuracy that an author published
STREAMS: Final = 64  # whose windows come at once
TIMED: Final = 200


class Measurement(msgspec.Struct, kw_only=True, frozen=True):
    """One metric on one data set, and its target."""

    on: str
    metric: str
    value: float
    target: float | None = None
    lower_is_better: bool = False
    detail: dict[str, float] = {}

    @property
    def reached(self) -> bool:
        """Whether it reaches the target."""
        return self.target is None or (self.value <= self.target if self.lower_is_better else self.value >= self.target)


Task = Callable[[Path, TrainingConfig, Path], Iterator[Measurement]]  # of data, configuration, and a folder for files


def signers(data: Path, config: TrainingConfig, folder: Path) -> Iterator[Measurement]:
    """Train on 16 subjects and test on 8 others, in three splits; then adapt to each of the 8."""
    sequences, results, adapted = dataset.read(data / "signers"), list[Evaluation](), dict[str, tuple[float, float]]()
    for number, (train, test) in enumerate(splits(sequences)):
        model = folder / f"split {number}"
        results.append(train_and_evaluate(model, train, test, config))
        if config.recipe.architecture in NETWORKS:
            adapted |= adapt_per_subject(model, test)
    subjects = {name: accuracy for one in results for name, accuracy in one.sequences.accuracy_by_subject.items()}
    on, median = "signers, 16 subjects to 8 others", float(np.median(list(subjects.values())))
    yield Measurement(on=on, metric="accuracy", value=_mean(results, "accuracy"), target=0.88, detail=subjects)
    yield Measurement(on=on, metric="median subject", value=median, target=0.93)
    yield Measurement(on=on, metric="loss", value=_mean(results, "loss"), target=0.45, lower_is_better=True)
    yield from _more(on, results)
    if adapted:
        on, accuracies = f"{on}, adapted", {name: accuracy for name, (accuracy, _) in adapted.items()}
        mean, median_s = np.mean([*accuracies.values()]), np.median([took_s for _, took_s in adapted.values()])
        yield Measurement(on=on, metric="accuracy", value=float(mean), target=0.97, detail=accuracies)
        yield Measurement(on=on, metric="seconds to adapt", value=float(median_s))


def mit(data: Path, config: TrainingConfig, folder: Path) -> Iterator[Measurement]:
    """Train on two subjects and test on 22 others."""
    sequences = dataset.read(data / "signers")
    known = np.array([sequence.subject in MIT for sequence in sequences])
    scores = train_and_evaluate(folder / "mit", *train_test_split(sequences, ~known), config).sequences
    on = "signers, the two of MIT licence to 22 others"
    yield Measurement(on=on, metric="accuracy", value=scores.accuracy, target=0.86, detail=scores.accuracy_by_subject)
    yield Measurement(on=on, metric="loss", value=scores.loss)


def one_subject(name: str, accuracy: float, loss: float | None = None, f1: float | None = None) -> Task:
    """Return the task of a data set of one subject, with its targets: five folds."""

    def task(data: Path, config: TrainingConfig, _folder: Path) -> Iterator[Measurement]:
        sequences = dataset.read(data / f"{name}.xz")
        idle = tuple({SIGNS[0]} & {sequence.label for sequence in sequences})
        yield from _in_folds(name, sequences, msgspec.structs.replace(config, idle=idle), accuracy, loss, f1)

    return task


def push_up(data: Path, config: TrainingConfig, folder: Path) -> Iterator[Measurement]:
    """Push-ups done right or wrong, extracted from videos."""
    clips = folder / "push_up"
    extract(data / "clips" / "push_up", clips, os.cpu_count() or 1, Console(stderr=True))
    recipe = msgspec.structs.replace(config.recipe, features=EXERCISE_FEATURES)
    yield from _in_folds("push_up", dataset.read(clips), msgspec.structs.replace(config, recipe=recipe), 0.85)


def third_party_models(data: Path, _config: TrainingConfig, folder: Path) -> Iterator[Measurement]:
    """Import networks of other projects, and evaluate them as their authors did."""
    for name, file, own, labels, published in (
        ("sixteen_signs_gru.h5", "sixteen_signs_gru.h5", "sixteen_signs.xz", SIGNS, 0.996),
        (
            "six_exercises",
            "six_exercises_pose132.keras",
            "peer_models/six_exercises_pose132.npz",
            EXERCISES,
            0.928,
        ),
    ):
        model, idle = folder / name, [label for label in labels if label == SIGNS[0]]
        card = import_model(data / "peer_models" / file, model, labels, idle, None, None)
        accuracy = evaluate(Classifier(model), card, numbered(dataset.read(data / own))).sequences.accuracy
        on, difference = f"{name} on its own data", abs(accuracy - published)
        yield Measurement(on=on, metric="accuracy", value=accuracy, detail={"published": published})
        yield Measurement(
            on=on, metric="difference to published", value=difference, target=TOLERANCE, lower_is_better=True
        )


def speed(data: Path, config: TrainingConfig, folder: Path) -> Iterator[Measurement]:
    """Time training, one window, and one window of each of 64 streams at once."""
    sequences, model, started = dataset.read(data / "ten_actions.xz"), folder / "speed", time.monotonic()
    train_and_evaluate(model, sequences, sequences, config)
    minutes = (time.monotonic() - started) / 60
    yield Measurement(on="ten_actions", metric="minutes to train", value=minutes, target=3, lower_is_better=True)
    windows = np.stack([np.resize(one.keypoints, (config.window.length, SIZE)) for one in sequences[:STREAMS]])
    classify = Classifier(model)
    for on, some, target in (("one window", windows[:1], 1.5), (f"{STREAMS} windows at once", windows, 25)):
        yield Measurement(on=on, metric="ms", value=_ms(classify, some), target=target, lower_is_better=True)


TASKS: Final[dict[str, Task]] = {
    "signers": signers,
    "mit": mit,
    "ten_actions": one_subject("ten_actions", 0.985, 0.08, 0.90),
    "sixteen_signs": one_subject("sixteen_signs", 0.975),
    "sixteen_actions": one_subject("sixteen_actions", 0.985),
    "push_up": push_up,
    "third_party_models": third_party_models,
    "speed": speed,
}


def splits(sequences: Sequence[KeypointSequence]) -> Iterator[tuple[list[KeypointSequence], list[KeypointSequence]]]:
    """Yield training and test sequences; a third of the subjects is the test set of each split."""
    subjects = np.array([sequence.subject for sequence in sequences])
    for part in np.array_split(np.random.default_rng(0).permutation(np.unique(subjects)), SPLITS):
        yield train_test_split(sequences, np.isin(subjects, part))


def train_and_evaluate(
    folder: Path, train: Sequence[KeypointSequence], test: list[KeypointSequence], config: TrainingConfig
) -> Evaluation:
    """Train a model, save it in the folder, and evaluate it."""
    one = fit_and_evaluate(Trainer(train, config), test)
    folder.mkdir()
    save(folder, one.model)
    return one.result


def adapt_per_subject(folder: Path, test: Sequence[KeypointSequence]) -> dict[str, tuple[float, float]]:
    """Return by subject the accuracy after adapting to EXAMPLES of each sign, and the seconds that took."""
    reached = {}
    for subject in sorted({sequence.subject for sequence in test}):
        own = [sequence for sequence in test if sequence.subject == subject]
        is_example = np.zeros(len(own), bool)
        for label in {sequence.label for sequence in own}:
            of_label = [number for number, sequence in enumerate(own) if sequence.label == label]
            is_example[np.random.default_rng(0).permutation(of_label)[:EXAMPLES]] = True
        others, examples = train_test_split(own, is_example)
        started = time.monotonic()
        adapted = adapt(folder, examples)
        took_s = time.monotonic() - started
        reached[subject] = evaluate(adapted.classify, adapted.card, numbered(others)).sequences.accuracy, took_s
    return reached


def _in_folds(
    name: str,
    sequences: Sequence[KeypointSequence],
    config: TrainingConfig,
    accuracy: float,
    loss: float | None = None,
    f1: float | None = None,
) -> Iterator[Measurement]:
    folds = stratified_folds([sequence.label for sequence in sequences], FOLDS, seed=0)
    results = [one.result for one in cross_validate(sequences, config, folds)]
    on, rate = f"{name}, {FOLDS} folds", np.mean([result.stream.false_positives_per_minute for result in results])
    yield Measurement(on=on, metric="accuracy", value=_mean(results, "accuracy"), target=accuracy)
    yield Measurement(on=on, metric="loss", value=_mean(results, "loss"), target=loss, lower_is_better=True)
    yield from _more(on, results, f1)
    yield Measurement(
        on=on,
        metric="false positives per minute",
        value=float(rate),
        target=1.0 if f1 else None,
        lower_is_better=True,
    )


def _more(on: str, results: Sequence[Evaluation], f1: float | None = None) -> Iterator[Measurement]:
    yield Measurement(on=on, metric="calibration error", value=_mean(results, "calibration_error"))
    yield Measurement(on=on, metric="idle rate", value=float(np.mean([result.idle_rate for result in results])))
    f1s = [result.stream.f1["0.5"] for result in results]
    yield Measurement(on=on, metric="segmental F1@0.5 IoU", value=float(np.mean(f1s)), target=f1)


def _mean(results: Sequence[Evaluation], metric: str) -> float:
    return float(np.mean([getattr(result.sequences, metric) for result in results]))


def _ms(classify: Classifier, windows: NDArray[np.float32]) -> float:
    """Return the median time to classify all of the windows at once."""
    times = []
    for _ in range(TIMED):
        started = time.perf_counter()
        classify(windows)
        times.append(1e3 * (time.perf_counter() - started))
    return float(np.median(times))


def table(measurements: Sequence[Measurement]) -> Table:
    """Return a table of measurements and their targets."""
    shown = Table(box=box.SIMPLE, show_edge=False, pad_edge=False)
    for column in ("on", "metric", "measured", "target", ""):
        shown.add_column(column, justify="right" if column in ("measured", "target") else "left")
    for one in measurements:
        target = "" if one.target is None else f"{'at most' if one.lower_is_better else 'at least'} {one.target:g}"
        shown.add_row(one.on, one.metric, f"{one.value:.4g}", target, "" if one.reached else "missed")
    return shown


def run(args: argparse.Namespace) -> None:
    """Run the command; raises UserError."""
    if not args.data.is_dir():
        raise UserError(f"{args.data} is not a folder: name the one with signers/, ten_actions.xz and so on.")
    measurements: list[Measurement] = []
    config = TrainingConfig(recipe=Recipe(architecture=args.architecture))
    with tempfile.TemporaryDirectory() as folder:
        for name in args.only or TASKS:
            of_task = list(TASKS[name](args.data, config, Path(folder)))
            Console().print(table(of_task))
            measurements += of_task
            if args.json:
                atomic_write(args.json, msgspec.json.format(msgspec.json.encode(measurements)) + b"\n")
    if len(args.only or TASKS) > 1:
        Console().print(table(measurements))


def main() -> None:
    """Parse the command line and run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m models.benchmark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="a folder with signers/, ten_actions.xz and so on")
    parser.add_argument("--only", nargs="+", choices=TASKS, help="some of the tasks")
    default = Recipe().architecture
    parser.add_argument("--architecture", choices=ARCHITECTURES, default=default, help=f"({default})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all measurements into it")
    args = parser.parse_args()
    with command():
        run(args)


if __name__ == "__main__":
    main()
