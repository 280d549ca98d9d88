"""Training: which labels there are, what is refused, and what a trained model predicts."""

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
from common.recognition.classifier import Classifier, WindowSpec
from common.recording.sequence import KeypointSequence
from models.evaluation.evaluator import evaluate
from models.training.card import save
from models.training.recipe import ARCHITECTURES, SKLEARN_MODELS, Recipe, TrainingConfig
from models.training.trainer import VALIDATION, Trainer
from tests.models.people import person, sequence

LENGTH = 8
SHAPE = WindowSpec(length=LENGTH, fps=25.0)
WHO = {"anna", "bert"}
HEIGHTS = {"nod": 0.45, "wave": 0.15}  # of the right hand, in the frame


def performed(label: str, *, height: "float | None" = None, idle_frames: int = 0, **other: object) -> KeypointSequence:
    """Return a hand held at the label's height, after frames without a hand: easy for every model."""
    one = sequence(label.partition("/")[0] if label in HEIGHTS else "idle", **({"frames": LENGTH} | other))
    frames, seed = len(one.captured_ns), int(one.keypoints[0, 100] * 1e6)
    keypoints = np.tile(person(["wave"]), (frames, 1)) + np.random.default_rng(seed).normal(0, 2e-3, (frames, 1662))
    one = one._replace(label=label, keypoints=keypoints.astype(np.float32))
    parts = split(one.keypoints)
    parts["pose"][:, [LEFT_SHOULDER, RIGHT_SHOULDER], :2] = (0.6, 0.5), (0.4, 0.5)
    high = HEIGHTS.get(label) if height is None else height
    down = slice(None) if high is None else slice(idle_frames)
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


def config(kind: str = "ridge", **other: object) -> TrainingConfig:
    fields: dict[str, object] = {
        "window": SHAPE,
        "folds": 2,
        "recipe": Recipe(architecture=kind, epochs=1, hidden_size=8),
    }
    return TrainingConfig(**(fields | other))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    """Of two subjects, with one window a sequence."""
    return Trainer(group("idle", "wave"), config())


@pytest.fixture(scope="module")
def validation(trainer: Trainer) -> bytes:
    """A stored cross-validation, so that an architecture is fitted once below, and not three times."""
    return msgspec.json.encode(trainer.validate())


@pytest.mark.parametrize(
    "recipe",
    [*(Recipe(architecture=kind, hidden_size=8) for kind in ARCHITECTURES), Recipe(architecture="lstm", features=RAW)],
    ids=[*ARCHITECTURES, "notebook"],
)
def test_every_architecture_is_fitted_saved_and_predicts_the_same(
    trainer: Trainer, validation: bytes, tmp_path: Path, recipe: Recipe
):
    (tmp_path / VALIDATION).write_bytes(validation)
    other = trainer.with_recipe(msgspec.structs.replace(recipe, epochs=1))
    trained = other.fit(tmp_path)
    model = tmp_path / "model"
    model.mkdir()
    save(model, trained, sources=["made"])
    classifier = Classifier(model)
    # As many as run at once: the last bit of a sum, which depends on how many are added, may lead to another leaf.
    windows = np.resize([one.keypoints for one in trainer.sequences], (SKOPS_BATCH, LENGTH, SIZE))
    rows = classifier(windows)
    assert rows == pytest.approx(trained.classify(windows), abs=1e-5)
    assert rows.sum(axis=1) == pytest.approx(1, abs=1e-5)
    card = classifier.card
    assert (card.labels, card.idle, card.recipe["architecture"]) == (["idle", "wave"], ["idle"], recipe.architecture)
    assert (
        card.features == recipe.features and card.parameters > 0 and card.metrics["accuracy_by_subject"].keys() == WHO
    )
    if recipe.architecture in SKLEARN_MODELS:
        predicted = rows[: len(trainer.sequences)].argmax(axis=1)
        assert predicted.tolist() == [card.labels.index(one.label) for one in trainer.sequences]


def test_the_same_seed_gives_the_same_model(trainer: Trainer):
    windows = np.stack([one.keypoints for one in trainer.sequences])
    one, same = (copy.copy(trainer).fit() for _ in range(2))
    assert np.array_equal(one.classify(windows), same.classify(windows)) and one.card == same.card


def test_frames_without_hands_train_an_idle_label_where_there_is_none():
    trainer = Trainer(group("nod", "wave", frames=LENGTH + 2, idle_frames=2), config())
    assert (trainer.labels, trainer.idle) == (["nod", "wave", NOTHING], [NOTHING])
    still = performed("idle", seed=7).keypoints[None]
    assert trainer.fit().classify(still).argmax() == 2


def test_where_hands_are_always_in_view_there_is_no_idle_label():
    trainer = Trainer(group("nod", "wave"), config())
    assert (trainer.labels, trainer.idle) == (["nod", "wave"], [])


def test_an_idle_label_in_the_data_is_used():
    idle_frames = group("nod", "wave", frames=LENGTH + 2, idle_frames=2)
    named = Trainer([*idle_frames, *group("Rest")], config())
    assert (named.labels, named.idle) == (["Rest", "nod", "wave"], ["Rest"])
    chosen = Trainer([*idle_frames, *group("hands down")], config(idle=("hands down",)))
    assert (chosen.labels, chosen.idle) == (["hands down", "nod", "wave"], ["hands down"])
    by_anna = Trainer([*idle_frames, *group("rest", subjects=("anna",))], config())
    assert by_anna.labels == ["nod", "rest", "wave"], "bert's synthetic idle windows have the same label"


def test_labels_of_two_levels_are_trained_and_evaluated_and_idle_by_the_first():
    heights = {"push up/right": 0.15, "push up/wrong": 0.45, "rest/left": None, "rest/right": None}
    sequences = [
        performed(label, height=height, frames=LENGTH + 3, subject=subject, seed=100 * place + number)
        for place, subject in enumerate(("anna", "bert"))
        for label, height in heights.items()
        for number in range(2)
    ]
    trainer = Trainer(sequences, config())
    trained = trainer.fit()
    assert (trainer.labels, trainer.idle) == (sorted(heights), ["rest/left", "rest/right"])
    named = {f"{one.label}/{number}": one for number, one in enumerate(sequences)}
    result = evaluate(trained.classify, trained.card, named)
    right = {label: scores.recall for label, scores in result.sequences.classes.items() if label not in trainer.idle}
    assert right == dict.fromkeys(right, 1.0)
    assert {span.label for span in result.ground_truth} == {"push up/right", "push up/wrong"}
    assert not {one.span.label for one in result.detections} & set(trainer.idle)


@pytest.mark.parametrize(
    ("sequences", "idle", "words"),
    [
        (group("nod"), (), "one label, 'nod': record another one"),
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
def test_sequences_that_cannot_train_a_model_are_refused(
    sequences: list[KeypointSequence], idle: "tuple[str, ...]", words: str
):
    with pytest.raises(UserError) as refused:
        Trainer(sequences, config(idle=idle))
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_sequences_that_are_too_short_are_left_out():
    """All of carl's, so that a fold of his would have no window."""
    short = group("idle", "nod", "wave", frames=LENGTH - 3, subjects=("carl",))
    trainer = Trainer([*group("idle", "nod", "wave"), *short], config())
    assert {one.subject for one in trainer.sequences} == WHO
    assert trainer.fit().card.metrics["accuracy_by_subject"].keys() == WHO
