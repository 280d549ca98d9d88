"""What is taught: which labels there are, what is refused, and what a model says that was taught."""

import copy
from pathlib import Path

import msgspec
import numpy as np
import pytest

from common.errors import UserError
from common.keypoints.features import RAW
from common.keypoints.landmarks import LEFT_SHOULDER, LEFT_WRIST, RIGHT_SHOULDER, RIGHT_WRIST, SIZE, split
from common.labels import NOTHING
from common.recognition.backends import SKOPS_BATCH
from common.recognition.classifier import Classifier, WindowShape
from common.recording.sequence import KeypointSequence
from models.evaluation.evaluator import evaluate
from models.training.card import card_of, save
from models.training.recipe import CLASSICS, KINDS, Recipe
from models.training.trainer import VALIDATED, Course, Plan
from tests.models.people import person, sequence

LENGTH = 8
SHAPE = WindowShape(length=LENGTH, fps=25.0)
WHO = {"anna", "bert"}
HEIGHTS = {"nod": 0.45, "wave": 0.15}  # of the right hand, in the picture


def performed(label: str, *, height: "float | None" = None, rests: int = 0, **other: object) -> KeypointSequence:
    """A hand held at the label's height, no hand while somebody rests before it: what every model can learn."""
    one = sequence(label.partition("/")[0] if label in HEIGHTS else "idle", **({"frames": LENGTH} | other))
    frames, seed = len(one.captured_ns), int(one.keypoints[0, 100] * 1e6)
    keypoints = np.tile(person(["wave"]), (frames, 1)) + np.random.default_rng(seed).normal(0, 2e-3, (frames, 1662))
    one = one._replace(label=label, keypoints=keypoints.astype(np.float32))
    parts = split(one.keypoints)
    parts["pose"][:, [LEFT_SHOULDER, RIGHT_SHOULDER], :2] = (0.6, 0.5), (0.4, 0.5)
    high = HEIGHTS.get(label) if height is None else height
    down = slice(None) if high is None else slice(rests)
    parts["pose"][:, [LEFT_WRIST, RIGHT_WRIST], 1] = 0.95
    if high is not None:
        parts["pose"][:, RIGHT_WRIST, 1] = high
        parts["right_hand"][..., 1] += high - parts["right_hand"][:, :1, 1]
    parts["pose"][down, RIGHT_WRIST, 1] = 0.95
    parts["right_hand"][down] = parts["left_hand"][:] = 0
    return one


def group(
    *labels: str, each: int = 2, subjects: "tuple[str, ...]" = ("anna", "bert"), **other: object
) -> list[KeypointSequence]:
    return [
        performed(label, subject=subject, seed=100 * place + number, **other)
        for place, subject in enumerate(subjects)
        for label in labels
        for number in range(each)
    ]


def plan(kind: str = "ridge", **other: object) -> Plan:
    facts: dict[str, object] = {"shape": SHAPE, "folds": 2, "recipe": Recipe(kind=kind, epochs=1, width=8)}
    return Plan(**(facts | other))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def course() -> Course:
    """Of two recorders, a window a sequence."""
    return Course(group("idle", "wave"), plan())


@pytest.fixture(scope="module")
def validated(course: Course) -> bytes:
    """What is on a course's desk after its first part, so that a kind is taught once below, and not three times."""
    return msgspec.json.encode(course.validate())


@pytest.mark.parametrize(
    "recipe",
    [*(Recipe(kind=kind, width=8) for kind in KINDS), Recipe(kind="lstm", features=RAW)],
    ids=[*KINDS, "notebook"],
)
def test_every_kind_is_taught_saved_and_tells_the_same(
    course: Course, validated: bytes, tmp_path: Path, recipe: Recipe
):
    (tmp_path / VALIDATED).write_bytes(validated)
    other = course.by(msgspec.structs.replace(recipe, epochs=1))
    taught = other.teach(tmp_path)
    model = tmp_path / "model"
    model.mkdir()
    save(model, other, taught, ["made"])
    classifier = Classifier(model)
    # As many as run at once: a tree may tell another leaf by the last bit of a sum, which hangs on how many are added.
    windows = np.resize([one.keypoints for one in course.sequences], (SKOPS_BATCH, LENGTH, SIZE))
    rows = classifier(windows)
    assert rows == pytest.approx(taught.classify(windows), abs=1e-5)
    assert rows.sum(axis=1) == pytest.approx(1, abs=1e-5)
    card = classifier.card
    assert (card.labels, card.idle, card.recipe["kind"]) == (["idle", "wave"], ["idle"], recipe.kind)
    assert (
        card.features == recipe.features and card.parameters > 0 and card.metrics["accuracy_by_subject"].keys() == WHO
    )
    if recipe.kind in CLASSICS:
        told = rows[: len(course.sequences)].argmax(axis=1)
        assert told.tolist() == [card.labels.index(one.label) for one in course.sequences]


def test_the_same_seed_teaches_the_same(course: Course):
    windows = np.stack([one.keypoints for one in course.sequences])
    one, same = (copy.copy(course).teach() for _ in range(2))
    assert np.array_equal(one.classify(windows), same.classify(windows)) and one.validated == same.validated


def test_who_rests_teaches_nothing_where_no_label_does():
    course = Course(group("nod", "wave", frames=LENGTH + 2, rests=2), plan())
    assert (course.labels, course.idle) == (["nod", "wave", NOTHING], [NOTHING])
    still = performed("idle", seed=7).keypoints[None]
    assert course.teach().classify(still).argmax() == 2


def test_where_hands_are_always_in_view_there_is_no_nothing():
    course = Course(group("nod", "wave"), plan())
    assert (course.labels, course.idle) == (["nod", "wave"], [])


def test_an_idle_label_in_the_data_is_used():
    rests = group("nod", "wave", frames=LENGTH + 2, rests=2)
    named = Course([*rests, *group("Rest")], plan())
    assert (named.labels, named.idle) == (["Rest", "nod", "wave"], ["Rest"])
    chosen = Course([*rests, *group("hands down")], plan(idle=("hands down",)))
    assert (chosen.labels, chosen.idle) == (["hands down", "nod", "wave"], ["hands down"])
    by_anna = Course([*rests, *group("rest", subjects=("anna",))], plan())
    assert by_anna.labels == ["nod", "rest", "wave"], "bert's rests are held, under the same name"


def test_labels_of_two_levels_are_taught_and_judged_and_idle_by_the_first():
    heights = {"push up/right": 0.15, "push up/wrong": 0.45, "rest/left": None, "rest/right": None}
    sequences = [
        performed(label, height=height, frames=LENGTH + 3, subject=subject, seed=100 * place + number)
        for place, subject in enumerate(("anna", "bert"))
        for label, height in heights.items()
        for number in range(2)
    ]
    course = Course(sequences, plan())
    taught = course.teach()
    assert (course.labels, course.idle) == (sorted(heights), ["rest/left", "rest/right"])
    named = {f"{one.label}/{number}": one for number, one in enumerate(sequences)}
    result = evaluate(taught.classify, card_of(taught, sequences, []), named)
    right = {label: scores.recall for label, scores in result.sequences.classes.items() if label not in course.idle}
    assert right == dict.fromkeys(right, 1.0)
    assert {span.label for span in result.ground_truth} == {"push up/right", "push up/wrong"}
    assert not {found.span.label for found in result.detections} & set(course.idle)


@pytest.mark.parametrize(
    ("sequences", "idle", "words"),
    [
        (group("nod"), (), "one label, 'nod': a model needs at least two"),
        ([*group("nod"), performed("wave")], (), "one sequence of 'wave': record more"),
        ([*group("nod"), *group("Nod", height=0.2)], (), "'Nod' and 'nod'"),
        (group("nod", "wave"), ("jump",), "--idle 'jump' is none of the labels nod, wave"),
        (
            [*group("nod"), *group("wave", frames=LENGTH - 3)],
            (),
            "Of 4 sequences of 'wave', whose longest has 5 frames, 0 have a window of 8 frames at 25 frames/s",
        ),
        (
            [*group("nod"), performed("wave"), *group("wave", frames=LENGTH - 3)],
            (),
            "Of 5 sequences of 'wave', whose longest has 8 frames, 1 have",
        ),
    ],
)
def test_what_teaches_nothing_is_refused(sequences: list[KeypointSequence], idle: "tuple[str, ...]", words: str):
    with pytest.raises(UserError) as refused:
        Course(sequences, plan(idle=idle))
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_sequences_that_are_too_short_are_left_out():
    """All of carl's, so that a part of the data to validate by would have no window."""
    short = group("idle", "nod", "wave", frames=LENGTH - 3, subjects=("carl",))
    course = Course([*group("idle", "nod", "wave"), *short], plan())
    assert {one.subject for one in course.sequences} == WHO
    assert course.teach().validated.recorders.keys() == WHO
