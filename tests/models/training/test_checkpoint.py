"""An interrupted training: what it resumes from, whenever it was killed."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from models.training import checkpoint
from models.training.fit import fit
from models.training.networks import build, compile_model
from models.training.recipe import Recipe
from models.training_data.training_set import TrainingSet
from tests.models.training.test_networks import training_set_of

RECIPE = Recipe(epochs=3, hidden_size=8)


class Killed(Exception):
    """Ends a training as a signal would: no callback after it runs."""


@pytest.fixture
def windows() -> TrainingSet:
    features = np.random.default_rng(0).normal(0, 1, (1, 12, 8, 5)).astype(np.float32)
    return training_set_of(features, np.repeat([0, 1], 6))


def killed_in_epoch(number: int, windows: TrainingSet, folder: Path) -> None:
    def progress(epoch: int, _epochs: int, _loss: "float | None") -> None:
        if epoch > number:
            raise Killed

    with pytest.raises(Killed):
        fit(RECIPE, windows, 0, checkpoint_dir=folder, progress=progress)


def compiled() -> tf.keras.Model:
    model = build(RECIPE, 8, 5, 2)
    compile_model(model, RECIPE)
    return model


def epochs_run(windows: TrainingSet, folder: Path) -> list[int]:
    run: list[int] = []
    fit(RECIPE, windows, 0, checkpoint_dir=folder, progress=lambda epoch, *_: run.append(epoch))
    return run


def test_a_training_resumes_after_its_last_complete_epoch(windows: TrainingSet, tmp_path: Path):
    model = compiled()
    assert checkpoint.restore(model, tmp_path) == 0
    killed_in_epoch(2, windows, tmp_path)
    assert checkpoint.restore(model, tmp_path) == 2
    assert any(np.abs(value.numpy()).max() > 0 for value in model.optimizer.variables[2:]), "the optimizer's state"
    assert epochs_run(windows, tmp_path) == [3]
    assert not (tmp_path / checkpoint.STATE).exists()
    assert epochs_run(windows, tmp_path) == [], "done"


def test_a_state_that_was_being_written_is_not_read(windows: TrainingSet, tmp_path: Path):
    killed_in_epoch(1, windows, tmp_path)
    (tmp_path / f"draft.{checkpoint.STATE}").write_text("half")
    assert epochs_run(windows, tmp_path) == [2, 3]


def test_a_training_killed_after_its_last_epoch_is_done(windows: TrainingSet, tmp_path: Path):
    model = compiled()
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(RECIPE.epochs * checkpoint.STEPS_PER_EPOCH)
    checkpoint.callback(model, tmp_path).on_epoch_end(0, {})
    assert epochs_run(windows, tmp_path) == []
