"""Methods of scikit-learn: what they tell, what they are given when lessons are many, and how large they are."""

import numpy as np
import pytest

from models.training.classics import ROWS, learn, parameters
from models.training.fit import learn as taught
from models.training.recipe import Recipe
from models.training_data.training_set import TrainingSet


def lessons_of(targets: np.ndarray, rounds: int = 3, labels: int = 3) -> TrainingSet:
    """Lessons whose first number says their label."""
    n = len(targets)
    features = np.random.default_rng(0).normal(0, 0.1, (rounds, n, 2, 3)).astype(np.float32)
    features[..., 0, 0] += targets
    one_hot = np.tile(np.eye(labels, dtype=np.float32)[targets], (rounds, 1, 1))
    return TrainingSet(features, one_hot, np.full(n, 1 / n), np.arange(n))


@pytest.mark.parametrize(
    "kind", ["forest", "ridge", "logistic"]
)  # boosting is slow: tests/models/training/test_trainer.py
def test_a_classic_tells_labels_it_was_taught_and_gives_others_nothing(kind: str):
    targets = np.tile([0, 2], 10)  # a part of the data may lack a label
    found = taught(Recipe(kind=kind), lessons_of(targets), seed=0)
    rows = found.tell(lessons_of(targets).features[0])
    assert rows.dtype == np.float32 and rows.shape == (20, 3)
    assert rows.sum(axis=1) == pytest.approx(1, abs=1e-5) and not rows[:, 1].any()
    assert rows.argmax(axis=1).tolist() == targets.tolist()
    assert found.parameters > 0 and "StandardScaler" in found.architecture


def test_of_many_lessons_as_many_as_fit_are_drawn():
    targets = np.arange(ROWS // 2 + 1) % 3
    model = learn("ridge", lessons_of(targets, rounds=3), seed=0)
    assert model["scale"].n_samples_seen_ == ROWS
    again = learn("ridge", lessons_of(targets, rounds=3), seed=0)
    assert np.array_equal(model["scale"].mean_, again["scale"].mean_)
    assert parameters(model) == 3 * (model["reduce"].n_components_ + 1)
