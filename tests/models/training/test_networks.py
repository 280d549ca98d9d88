"""Every network: its shapes, that it can be fitted, and the batches it is fitted to."""

import numpy as np
import pytest
import tensorflow as tf

from common.keypoints.features import RAW, size
from common.keypoints.landmarks import SIZE
from common.recognition.fast_lstm import accelerated
from models.training.fit import from_keras
from models.training.networks import BATCH_SIZE, Batches, build, compile_model
from models.training.recipe import NETWORKS, Recipe
from models.training_data.training_set import TrainingSet

NOTEBOOK = Recipe(architecture="lstm", features=RAW)


def training_set_of(features: np.ndarray, targets: np.ndarray, weights: "np.ndarray | None" = None) -> TrainingSet:
    """Return features (c, n, length, F) and label indices (n,) as a training set, by default of equal weights."""
    copies, n = features.shape[:2]
    one_hot = np.tile(np.eye(targets.max() + 1, dtype=np.float32)[targets], (copies, 1, 1))
    return TrainingSet(features, one_hot, np.full(n, 1 / n) if weights is None else weights, np.arange(n))


@pytest.mark.parametrize(
    "recipe", [*(Recipe(architecture=kind) for kind in NETWORKS), NOTEBOOK], ids=[*NETWORKS, "notebook"]
)
def test_every_network_predicts_probabilities_and_the_same_live(recipe: Recipe):
    numbers = size(recipe.features)
    model = build(recipe, 12, numbers, 4)
    windows = np.random.default_rng(0).normal(0, 1, (3, 12, numbers)).astype(np.float32)
    rows = from_keras(model).predict(windows)
    assert rows.shape == (3, 4) and rows.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert np.ptp(rows, axis=0).max() > 1e-4, "it depends on its input"
    assert model.count_params() < 600_000
    assert accelerated(model)(windows, training=False).numpy() == pytest.approx(rows, abs=1e-5)


def test_the_notebook_baseline_is_the_notebooks_network():
    model = build(NOTEBOOK, 30, SIZE, 5)
    assert model.count_params() == 596_741
    assert (model.input_shape, model.output_shape) == ((None, 30, 1662), (None, 5))
    units = [(layer.units, layer.activation.__name__) for layer in model.layers[1:]]
    assert units == [(64, "relu"), (128, "relu"), (64, "relu"), (64, "relu"), (32, "relu"), (5, "softmax")]


def test_a_network_fits_few_windows_in_few_steps():
    rng = np.random.default_rng(0)
    targets = np.repeat([0, 1], 12)
    features = rng.normal(0, 0.5, (3, 24, 8, 5)).astype(np.float32)
    features[:, :, :4, 0] += targets[:, None]  # early in one, late in the other
    features[:, :, 4:, 0] += 1 - targets[:, None]
    recipe = Recipe(epochs=6)
    model = build(recipe, 8, 5, 2)
    compile_model(model, recipe)
    model.fit(Batches(training_set_of(features, targets), seed=0), epochs=recipe.epochs, verbose=0)
    assert (from_keras(model).predict(features[0]).argmax(axis=1) == targets).mean() > 0.9


def test_batches_are_seeded_and_draw_windows_by_weight():
    targets = np.array([0] * 90 + [1] * 10)
    features = np.arange(200, dtype=np.float32).reshape(2, 100, 1, 1)
    training_set = training_set_of(features, targets, np.where(targets, 0.7 / 10, 0.3 / 90))
    batches, again = (Batches(training_set, seed=1) for _ in range(2))
    found = [batches[index] for index in range(len(batches))]
    for (windows, labels), (same, _) in zip(found, (again[index] for index in range(len(again))), strict=True):
        assert np.array_equal(windows, same) and windows.shape == (BATCH_SIZE, 1, 1)
        assert np.array_equal(labels.argmax(axis=1), targets[windows.ravel().astype(int) % 100])
    assert np.concatenate([labels for _, labels in found]).mean(axis=0) == pytest.approx([0.3, 0.7], abs=0.05)
    assert {bool(row >= 100) for windows, _ in found for row in windows.ravel()} == {True, False}, "of all copies"


@pytest.mark.parametrize("unroll", [False, True])
def test_accelerated_layers_keep_their_dtype(unroll: bool):
    layers = tf.keras.layers
    half = [layers.LSTM(4, return_sequences=True, dtype="mixed_float16"), layers.LSTM(4, dtype="mixed_float16")]
    model = tf.keras.Sequential([layers.Input((6, 5)), *half, layers.Dense(3, activation="softmax")])
    windows = np.random.default_rng(0).normal(0, 1, (2, 6, 5)).astype(np.float32)
    predicted = accelerated(model, unroll)(windows, training=False)
    assert predicted.numpy() == pytest.approx(model(windows).numpy(), abs=1e-3)
