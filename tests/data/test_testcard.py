"""The commands that make a data set and train on it, as a user types them, with little data."""

import json
from pathlib import Path

import numpy as np
import pytest

from common.recognition.classifier import Classifier
from data import dataset
from tests.commands import call, run


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "cards"
    made = run("data.testcard", "--out", out, "--seeds", "203-204", "--seconds", 4)  # both rest and shake
    assert made.returncode == 0, made.stderr
    return out


def test_the_data_set_holds_what_the_schedule_says(cards: Path):
    sequences = dataset.read(cards)
    assert {sequence.subject for sequence in sequences} == {"card-203", "card-204"}
    assert "rest" in {sequence.label for sequence in sequences}
    manifest = [json.loads(line) for line in (cards / dataset.MANIFEST).read_text().splitlines()]
    assert sorted(entry["frames"] for entry in manifest) == sorted(len(s.keypoints) for s in sequences)


def test_a_model_trained_on_it_can_be_run(cards: Path, tmp_path: Path):
    folder = tmp_path / "model"
    options = (
        "--architecture",
        "forest",
        "--window-length",
        15,
        "--stride",
        10,
        "--folds",
        2,
    )  # the end of a card may be short
    trained = run("models.train", cards, "--out", folder, *options)
    assert trained.returncode == 0, trained.stderr
    classifier = Classifier(folder)
    labels = classifier.card.labels
    assert labels == sorted({sequence.label for sequence in dataset.read(cards)})
    assert classifier.card.metrics["accuracy_by_subject"].keys() == {"card-203", "card-204"}
    probabilities = classifier(np.full((3, 15, 1662), 0.5, np.float32))
    assert probabilities.shape == (3, len(labels))
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_what_is_there_is_not_overwritten_and_what_is_no_data_is_refused(cards: Path, tmp_path: Path):
    again = call("data.testcard", "--out", cards, "--seeds", "203", "--seconds", 1)
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert "is there already" in again.stderr
    nothing = call("models.train", tmp_path, "--out", tmp_path / "model")
    assert (nothing.returncode, nothing.stderr.count("\n")) == (2, 1)
    assert "is not a data set" in nothing.stderr
    assert not (tmp_path / "model").exists()
