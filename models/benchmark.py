"""The sets for measuring in; what this project's models reach on them, as a table and JSON, out.

    python -m models.benchmark DATA --json bench.json

Every figure is of data that took no part in training, nor in choosing when to stop, how sure to be, or what to report
as an action; but `peers` judges what others trained as they did, on their own data. It takes 50 minutes on two cores;
--only takes some of the tasks.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Row
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
from common.recognition.classifier import Classifier, read_card
from common.recording.sequence import KeypointSequence
from data import dataset
from data.extraction.run import extract
from models.evaluation.evaluator import Result, evaluate
from models.storage.importer import import_model
from models.training.adaptation import adapt
from models.training.card import save
from models.training.cross_validation import by_number, crossed
from models.training.progress import shown
from models.training.recipe import KINDS, NETWORKS, Recipe
from models.training.trainer import Course, Plan
from models.training_data import folds
from models.training_data.folds import train_test_split

SPLITS: Final = 3  # of the recorders
FOLDS: Final = 5
MIT: Final = ("recorder_14", "recorder_16")  # whose licence is MIT, as their files say
EXAMPLES: Final = 3  # of each sign, to adapt with
SIGNS: Final = [
    *("predicting.....", "come", "sleep", "eat", "yes", "no", "good", "thin"),
    *("more", "same", "small", "flower", "sun", "star", "moon", "road"),
]
EXERCISES: Final = ["curls", "lateral rises", "squat", "front rises", "shoulder press", "chest flys"]
EXERCISE: Final = Features(kind="body", parts=("pose", "joints"))  # what an exercise is judged by
WITHIN: Final = 0.005  # of what its author reached
STREAMS: Final = 64  # whose windows come at once
TIMED: Final = 200


class Figure(msgspec.Struct, kw_only=True, frozen=True):
    """One figure, and its goal."""

    on: str
    what: str
    value: float
    goal: float | None = None
    at_most: bool = False  # the goal is
    detail: dict[str, float] = {}

    @property
    def reached(self) -> bool:
        return self.goal is None or (self.value <= self.goal if self.at_most else self.value >= self.goal)


Bench = Callable[[Path, Plan, Path], Iterator[Figure]]  # data, how to teach, a folder to work in


def signers(data: Path, plan: Plan, work: Path) -> Iterator[Figure]:
    """People never seen: taught by 16 recorders, judged on 8, three such splits; then adapted to each of the 8."""
    sequences, results, adapted = dataset.read(data / "signers"), list[Result](), dict[str, tuple[float, float]]()
    for number, (rest, tested) in enumerate(splits(sequences)):
        folder = work / f"split {number}"
        results.append(taught(folder, rest, tested, plan))
        if plan.recipe.kind in NETWORKS:
            adapted |= to_each(folder, tested)
    recorders = {
        name: accuracy for result in results for name, accuracy in result.sequences.accuracy_by_subject.items()
    }
    on = "signers, 16 recorders to 8 others"
    yield Figure(on=on, what="accuracy", value=_mean(results, "accuracy"), goal=0.88, detail=recorders)
    yield Figure(on=on, what="median recorder", value=float(np.median(list(recorders.values()))), goal=0.93)
    yield Figure(on=on, what="loss", value=_mean(results, "loss"), goal=0.45, at_most=True)
    yield from _beside(on, results)
    if adapted:
        on, accuracies = f"{on}, adapted", {name: accuracy for name, (accuracy, _) in adapted.items()}
        yield Figure(on=on, what="accuracy", value=float(np.mean([*accuracies.values()])), goal=0.97, detail=accuracies)
        yield Figure(on=on, what="seconds to adapt", value=float(np.median([took_s for _, took_s in adapted.values()])))


def mit(data: Path, plan: Plan, work: Path) -> Iterator[Figure]:
    """From two recorders to 22 others."""
    sequences = dataset.read(data / "signers")
    known = np.array([sequence.subject in MIT for sequence in sequences])
    result = taught(work / "mit", *train_test_split(sequences, ~known), plan)
    on = "signers, the two of MIT licence to 22 others"
    yield Figure(
        on=on, what="accuracy", value=result.sequences.accuracy, goal=0.86, detail=result.sequences.accuracy_by_subject
    )
    yield Figure(on=on, what="loss", value=result.sequences.loss)


def one_person(name: str, accuracy: float, loss: float | None = None, f1: float | None = None) -> Bench:
    """A set of one recorder, in five folds."""

    def bench(data: Path, plan: Plan, _work: Path) -> Iterator[Figure]:
        sequences = dataset.read(data / f"{name}.xz")
        idle = tuple({SIGNS[0]} & {sequence.label for sequence in sequences})
        yield from _in_folds(name, sequences, msgspec.structs.replace(plan, idle=idle), accuracy, loss, f1)

    return bench


def push_up(data: Path, plan: Plan, work: Path) -> Iterator[Figure]:
    """Right or wrong, from videos that this project extracts."""
    clips = work / "push_up"
    extract(data / "clips" / "push_up", clips, os.cpu_count() or 1, Console(stderr=True))
    recipe = msgspec.structs.replace(plan.recipe, features=EXERCISE)
    yield from _in_folds("push_up", dataset.read(clips), msgspec.structs.replace(plan, recipe=recipe), 0.85)


def peers(data: Path, _plan: Plan, work: Path) -> Iterator[Figure]:
    """Models that others trained, as their authors judged them."""
    for name, file, own, labels, accuracy in (
        ("sixteen_signs_gru.h5", "sixteen_signs_gru.h5", "sixteen_signs.xz", SIGNS, 0.996),
        (
            "six_exercises",
            "six_exercises_pose132.keras",
            "peer_models/six_exercises_pose132.npz",
            EXERCISES,
            0.928,
        ),
    ):
        folder = work / name
        idle = [label for label in labels if label == SIGNS[0]]
        card = import_model(data / "peer_models" / file, folder, labels, idle, None, None)
        named = by_number(dataset.read(data / own))
        reached = evaluate(Classifier(folder), card, named).sequences.accuracy
        yield Figure(on=f"{name} on its own data", what="accuracy", value=reached, detail={"its author's": accuracy})
        off = abs(reached - accuracy)
        yield Figure(on=f"{name} on its own data", what="off its author's", value=off, goal=WITHIN, at_most=True)


def speed(data: Path, plan: Plan, work: Path) -> Iterator[Figure]:
    """Training, one window, and one of each of 64 streams at once."""
    sequences, folder, began = dataset.read(data / "ten_actions.xz"), work / "speed", time.monotonic()
    taught(folder, sequences, sequences, plan)
    yield Figure(on="ten_actions", what="minutes to train", value=(time.monotonic() - began) / 60, goal=3, at_most=True)
    windows = np.stack([np.resize(one.keypoints, (plan.shape.length, SIZE)) for one in sequences[:STREAMS]])
    classify = Classifier(folder)
    yield Figure(on="one window", what="ms", value=_ms(classify, windows[:1]), goal=1.5, at_most=True)
    yield Figure(on=f"{STREAMS} windows at once", what="ms", value=_ms(classify, windows), goal=25, at_most=True)


TASKS: Final[dict[str, Bench]] = {
    "signers": signers,
    "mit": mit,
    "ten_actions": one_person("ten_actions", 0.985, 0.08, 0.90),
    "sixteen_signs": one_person("sixteen_signs", 0.975),
    "sixteen_actions": one_person("sixteen_actions", 0.985),
    "push_up": push_up,
    "peers": peers,
    "speed": speed,
}


def splits(sequences: Row[KeypointSequence]) -> Iterator[tuple[list[KeypointSequence], list[KeypointSequence]]]:
    """Who teaches and who is judged, in thirds of the recorders."""
    recorders = np.array([sequence.subject for sequence in sequences])
    for part in np.array_split(np.random.default_rng(0).permutation(np.unique(recorders)), SPLITS):
        yield train_test_split(sequences, np.isin(recorders, part))


def taught(folder: Path, rest: Row[KeypointSequence], tested: Row[KeypointSequence], plan: Plan) -> Result:
    """How well a model does on the tested that the rest has taught; it is left in the folder."""
    course = Course(rest, plan)
    with shown() as progress:
        model = course.teach(progress=progress)
    folder.mkdir()
    save(folder, course, model, [])
    return evaluate(model.classify, read_card(folder), by_number(tested))


def to_each(folder: Path, tested: Row[KeypointSequence]) -> dict[str, tuple[float, float]]:
    """By recorder, the accuracy after the model in the folder has seen EXAMPLES of each sign, and seconds to learn."""
    reached = {}
    for recorder in sorted({sequence.subject for sequence in tested}):
        own = [sequence for sequence in tested if sequence.subject == recorder]
        shown_to = np.zeros(len(own), bool)
        for label in {sequence.label for sequence in own}:
            of_label = [number for number, sequence in enumerate(own) if sequence.label == label]
            shown_to[np.random.default_rng(0).permutation(of_label)[:EXAMPLES]] = True
        others, examples = train_test_split(own, shown_to)
        began = time.monotonic()
        adapted = adapt(folder, examples)
        took_s = time.monotonic() - began
        reached[recorder] = evaluate(adapted.classify, adapted.card, by_number(others)).sequences.accuracy, took_s
    return reached


def _in_folds(
    name: str,
    sequences: Row[KeypointSequence],
    plan: Plan,
    accuracy: float,
    loss: float | None = None,
    f1: float | None = None,
) -> Iterator[Figure]:
    labels = [sequence.label for sequence in sequences]
    results = [one.result for one in crossed(sequences, plan, folds.stratified_folds(labels, FOLDS, seed=0))]
    on, streams = f"{name}, {FOLDS} folds", [result.stream for result in results]
    yield Figure(on=on, what="accuracy", value=_mean(results, "accuracy"), goal=accuracy)
    yield Figure(on=on, what="loss", value=_mean(results, "loss"), goal=loss, at_most=True)
    yield from _beside(on, results, f1)
    false = float(np.mean([one.false_positives_per_minute for one in streams]))
    yield Figure(on=on, what="false actions a minute", value=false, goal=1.0 if f1 else None, at_most=True)


def _beside(on: str, results: Row[Result], f1: float | None = None) -> Iterator[Figure]:
    yield Figure(on=on, what="calibration error", value=_mean(results, "calibration_error"))
    yield Figure(on=on, what="told nothing", value=float(np.mean([result.idle_rate for result in results])))
    f1s = [result.stream.f1["0.5"] for result in results]
    yield Figure(on=on, what="event F1 at 0.5", value=float(np.mean(f1s)), goal=f1)


def _mean(results: Row[Result], what: str) -> float:
    return float(np.mean([getattr(result.sequences, what) for result in results]))


def _ms(classify: Classifier, windows: NDArray[np.float32]) -> float:
    """The median time to tell all of the windows."""
    times = []
    for _ in range(TIMED):
        began = time.perf_counter()
        classify(windows)
        times.append(1e3 * (time.perf_counter() - began))
    return float(np.median(times))


def table(figures: Row[Figure]) -> Table:
    shown = Table(box=box.SIMPLE, show_edge=False, pad_edge=False)
    for column in ("on", "what", "measured", "goal", ""):
        shown.add_column(column, justify="right" if column in ("measured", "goal") else "left")
    for one in figures:
        goal = "" if one.goal is None else f"{'at most' if one.at_most else 'at least'} {one.goal:g}"
        shown.add_row(one.on, one.what, f"{one.value:.4g}", goal, "" if one.reached else "missed")
    return shown


def bench(arguments: argparse.Namespace) -> None:
    """The command; raises UserError."""
    if not arguments.data.is_dir():
        raise UserError(f"{arguments.data} is not a folder: name the one with signers/, ten_actions.xz and so on.")
    figures: list[Figure] = []
    plan = Plan(recipe=Recipe(kind=arguments.model))
    with tempfile.TemporaryDirectory() as work:
        for name in arguments.only or TASKS:
            came = list(TASKS[name](arguments.data, plan, Path(work)))
            Console().print(table(came))
            figures += came
            if arguments.json:
                atomic_write(arguments.json, msgspec.json.format(msgspec.json.encode(figures)) + b"\n")
    if len(arguments.only or TASKS) > 1:
        Console().print(table(figures))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m models.benchmark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="a folder with signers/, ten_actions.xz and so on")
    parser.add_argument("--only", nargs="+", choices=TASKS, help="some of the tasks")
    parser.add_argument("--model", choices=KINDS, default=Recipe().kind, help=f"kind of model ({Recipe().kind})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures into it")
    arguments = parser.parse_args()
    with command():
        bench(arguments)


if __name__ == "__main__":
    main()
