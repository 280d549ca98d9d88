"""A recipe and lessons in; a trained network, or a classic method of scikit-learn, out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.files import atomic_write
from common.quiet import quiet_tensorflow
from common.recognition.classifier import WEIGHTS
from models.training.progress import Progress
from models.training.recipe import CLASSICS, Recipe
from models.training_data.training_set import TrainingSet

quiet_tensorflow()

PATIENCE: Final = 0.5  # of the epochs without a lower loss, after which training stops
CHUNK: Final = 256  # windows told at once
LOGS: Final = "logs"  # for TensorBoard
EPOCHS: Final = "epochs"


class Trained(NamedTuple):
    """What was learnt."""

    tell: Callable[[NDArray[np.float32]], NDArray[np.float32]]  # features (n, length, F) to probabilities (n, labels)
    save: Callable[[Path], None]  # into a model folder
    epochs: int  # all, unless the validation part stopped it: then those to its lowest loss
    parameters: int
    architecture: str


def learn(
    recipe: Recipe,
    lessons: TrainingSet,
    seed: int,
    *,
    validation: TrainingSet | None = None,
    desk: Path | None = None,
    progress: Progress | None = None,
    knowing: Path | None = None,
) -> Trained:
    """Trained on the lessons, and stopped early by the validation part where there is one.

    desk: a folder for TensorBoard's logs and for the state in which an interrupted training goes on.
    knowing: the weights of a network of the same recipe to begin with, which knows the first of the labels.
    """
    if recipe.kind in CLASSICS:
        return _classic(recipe, lessons, seed)
    return _network(recipe, lessons, seed, validation, desk, progress, knowing)


def _classic(recipe: Recipe, lessons: TrainingSet, seed: int) -> Trained:
    from models.training import classics

    model, labels = classics.learn(recipe.kind, lessons, seed), lessons.targets.shape[-1]

    def tell(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        told = np.zeros((len(rows), labels), np.float32)
        told[:, model.classes_] = model.predict_proba(rows.reshape(len(rows), -1))
        return told

    def save(folder: Path) -> None:
        import skops.io

        skops.io.dump(model, folder / "model.skops")

    steps = ", ".join(type(step).__name__ for _, step in model.steps)
    return Trained(tell, save, recipe.epochs, classics.parameters(model), steps)


def _network(
    recipe: Recipe,
    lessons: TrainingSet,
    seed: int,
    validation: TrainingSet | None,
    desk: Path | None,
    progress: Progress | None,
    knowing: Path | None,
) -> Trained:
    import tensorflow as tf

    from models.training import networks

    if desk and (desk / EPOCHS).is_file():  # it was done before an interruption
        return network(tf.keras.models.load_model(desk / WEIGHTS, compile=False), int((desk / EPOCHS).read_text()))
    tf.keras.utils.set_random_seed(seed)
    _, _, length, size = lessons.features.shape
    model = networks.build(recipe, length, size, lessons.targets.shape[-1])
    if knowing:
        networks.take_over(model, knowing)
    networks.prepare(model, recipe)
    callbacks = [networks.told_to(progress)] if progress else []
    stopping = tf.keras.callbacks.EarlyStopping(
        patience=max(1, round(PATIENCE * recipe.epochs)), restore_best_weights=True
    )
    if validation:
        callbacks.append(stopping)
    if desk:
        callbacks.append(tf.keras.callbacks.TensorBoard(desk / LOGS, write_graph=False))
        callbacks.append(tf.keras.callbacks.BackupAndRestore(desk / "state"))
    model.fit(
        networks.Batches(lessons, seed),
        validation_data=(validation.features[0], validation.targets[0], validation.sample_weight)
        if validation
        else None,
        epochs=recipe.epochs,
        callbacks=callbacks,
        verbose=0,
    )
    trained = network(model, stopping.best_epoch + 1 if stopping.stopped_epoch else recipe.epochs)
    if desk:
        trained.save(desk)
        atomic_write(desk / EPOCHS, str(trained.epochs).encode())
    return trained


def network(model: Any, epochs: int = 0) -> Trained:
    """A Keras model that has learnt."""
    import tensorflow as tf

    shape = tf.TensorSpec((None, *model.input_shape[1:]))  # traced once, for any number of rows
    tell = tf.function(lambda rows: model(rows, training=False)).get_concrete_function(shape)

    def in_chunks(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.concatenate([tell(tf.constant(rows[at : at + CHUNK])).numpy() for at in range(0, len(rows), CHUNK)])

    def save(folder: Path) -> None:
        bare = tf.keras.models.clone_model(model)  # without the optimizer's state, a third of the size
        bare.set_weights(model.get_weights())
        bare.save(folder / WEIGHTS)

    named = ", ".join(dict.fromkeys(layer.__class__.__name__ for layer in model.layers))
    return Trained(in_chunks, save, epochs, model.count_params(), named)
