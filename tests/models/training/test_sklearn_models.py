"""Models of scikit-learn: their predictions, their rows when there are many windows, and their size."""

import numpy as np
import pytest

from models.training.fit import fit
from models.training.recipe import Recipe
from models.training.sklearn_models import MAX_ROWS, count_parameters, fit_pipeline
from models.training_data.training_set import TrainingSet


def training_set_of(targets: np.ndarray, copies: int = 3, labels: int = 3) -> TrainingSet:
    """Return a training set whose first feature is the label."""
    n = len(targets)
    features = np.random.default_rng(0).normal(0, 0.1, (copies, n, 2, 3)).astype(np.float32)
    features[..., 0, 0] += targets
    one_hot = np.tile(np.eye(labels, dtype=np.float32)[targets], (copies, 1, 1))
    return TrainingSet(features, one_hot, np.full(n, 1 / n), np.arange(n))


@pytest.mark.parametrize(
    "architecture", ["forest", "ridge", "logistic"]
)  # boosting is slow: tests/models/training/test_trainer.py
def test_labels_without_training_data_get_a_probability_of_0(architecture: str):
    targets = np.tile([0, 2], 10)  # a fold may lack a label
    fitted = fit(Recipe(architecture=architecture), training_set_of(targets), seed=0)
    rows = fitted.predict(training_set_of(targets).features[0])
    assert rows.dtype == np.float32 and rows.shape == (20, 3)
    assert rows.sum(axis=1) == pytest.approx(1, abs=1e-5) and not rows[:, 1].any()
    assert rows.argmax(axis=1).tolist() == targets.tolist()
    assert fitted.parameters > 0 and "StandardScaler" in fitted.layers


def test_of_many_windows_a_subset_is_drawn():
    targets = np.arange(MAX_ROWS // 2 + 1) % 3
    model = fit_pipeline("ridge", training_set_of(targets, copies=3), seed=0)
    assert model["scale"].n_samples_seen_ == MAX_ROWS
    again = fit_pipeline("ridge", training_set_of(targets, copies=3), seed=0)
    assert np.array_equal(model["scale"].mean_, again["scale"].mean_)
    assert count_parameters(model) == 3 * (model["reduce"].n_components_ + 1)
