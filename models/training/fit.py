"""Fit a network or a scikit-learn model to a training set."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.files import atomic_write
from common.keypoints.features import Features, features
from common.quiet import quiet_tensorflow
from common.recognition.classifier import WEIGHTS, temperature_scale
from models.simulation.pipeline import Classify
from models.training.progress import Progress
from models.training.recipe import SKLEARN_MODELS, Recipe
from models.training_data.training_set import TrainingSet

quiet_tensorflow()

PATIENCE: Final = 0.5  # of the epochs without a lower validation loss, after which training stops
BATCH: Final = 256  # windows predicted at once
LOGS: Final = "logs"  # for TensorBoard
EPOCHS_FILE: Final = "epochs"  # a file in the checkpoint folder of a network that is done


class FittedClassifier(NamedTuple):
    """A fitted network or scikit-learn model."""

    predict: Callable[[NDArray[np.float32]], NDArray[np.float32]]  # features (n, length, F) to (n, labels)
    save: Callable[[Path], None]  # into a model folder
    epochs: int  # those to the lowest validation loss, if it stopped early
    parameters: int
    layers: str

    def calibrated(self, options: Features, temperature: float) -> Classify:
        """Return a classifier of windows of raw keypoints (n, length, 1662)."""
        return lambda windows: temperature_scale(self.predict(features(windows, options)), temperature)


def fit(
    recipe: Recipe,
    training_set: TrainingSet,
    seed: int,
    *,
    validation: TrainingSet | None = None,
    checkpoint_dir: Path | None = None,
    progress: Progress | None = None,
    initial_weights: Path | None = None,
) -> FittedClassifier:
    """Fit a model; a network stops early by its validation loss.

    checkpoint_dir: for TensorBoard's logs, and for the state that an interrupted run resumes from. initial_weights: of
    a network of the same recipe, whose labels are the first ones of the training set's.
    """
    if recipe.architecture in SKLEARN_MODELS:
        return _fit_sklearn(recipe, training_set, seed)
    import tensorflow as tf

    from models.training import checkpoint, networks

    if checkpoint_dir and (checkpoint_dir / EPOCHS_FILE).is_file():  # it was done before the interruption
        model = tf.keras.models.load_model(checkpoint_dir / WEIGHTS, compile=False)
        return from_keras(model, int((checkpoint_dir / EPOCHS_FILE).read_text()))
    tf.keras.utils.set_random_seed(seed)
    _, _, length, size = training_set.features.shape
    model = networks.build(recipe, length, size, training_set.targets.shape[-1])
    if initial_weights:
        networks.transfer_weights(model, initial_weights)
    networks.compile_model(model, recipe)
    patience = max(1, round(PATIENCE * recipe.epochs))
    stopping = tf.keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True)
    model.fit(
        networks.Batches(training_set, seed),
        validation_data=validation and (validation.features[0], validation.targets[0], validation.sample_weight),
        initial_epoch=checkpoint.restore(model, checkpoint_dir) if checkpoint_dir else 0,
        epochs=recipe.epochs,
        callbacks=[*_callbacks(model, checkpoint_dir, progress), *([stopping] if validation else [])],
        verbose=0,
    )
    fitted = from_keras(model, stopping.best_epoch + 1 if stopping.stopped_epoch else recipe.epochs)
    if checkpoint_dir:
        fitted.save(checkpoint_dir)
        atomic_write(checkpoint_dir / EPOCHS_FILE, str(fitted.epochs).encode())
    return fitted


def _callbacks(model: Any, checkpoint_dir: Path | None, progress: Progress | None) -> Iterator[Any]:
    import tensorflow as tf

    from models.training import checkpoint, networks

    if progress:
        yield networks.progress_callback(progress)
    if checkpoint_dir:
        yield tf.keras.callbacks.TensorBoard(checkpoint_dir / LOGS, write_graph=False)
        yield checkpoint.callback(model, checkpoint_dir)


def _fit_sklearn(recipe: Recipe, training_set: TrainingSet, seed: int) -> FittedClassifier:
    from models.training import sklearn_models

    model, labels = sklearn_models.fit_pipeline(recipe.architecture, training_set, seed), training_set.targets.shape[-1]

    def predict(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        probabilities = np.zeros((len(rows), labels), np.float32)
        probabilities[:, model.classes_] = model.predict_proba(rows.reshape(len(rows), -1))
        return probabilities

    def save(folder: Path) -> None:
        import skops.io

        skops.io.dump(model, folder / "model.skops")

    steps = ", ".join(type(step).__name__ for _, step in model.steps)
    return FittedClassifier(predict, save, recipe.epochs, sklearn_models.count_parameters(model), steps)


def from_keras(model: Any, epochs: int = 0) -> FittedClassifier:
    """Wrap a fitted Keras model."""
    import tensorflow as tf

    shape = tf.TensorSpec((None, *model.input_shape[1:]))  # traced once, for any number of rows
    run = tf.function(lambda rows: model(rows, training=False)).get_concrete_function(shape)

    def predict(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.concatenate([run(tf.constant(rows[at : at + BATCH])).numpy() for at in range(0, len(rows), BATCH)])

    def save(folder: Path) -> None:
        bare = tf.keras.models.clone_model(model)  # without the optimizer's state, a third of the size
        bare.set_weights(model.get_weights())
        bare.save(folder / WEIGHTS)

    layers = ", ".join(dict.fromkeys(layer.__class__.__name__ for layer in model.layers))
    return FittedClassifier(predict, save, epochs, model.count_params(), layers)
