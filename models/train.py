"""Data sets in, a model folder out.

    python -m models.train data/testcard --out models/testcard

Every window of a sequence that the live windows stage would cut is an example of its label. Whole recorders
are held out for validation where there are several; the epoch with the lowest loss on them is kept.
"""

import argparse
import logging
import os
import platform
import subprocess
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.classifier import CARD, WEIGHTS, Card, WindowShape
from common.decision import Parameters
from common.errors import UserError, command
from common.features import RAW
from common.landmarks import LAYOUT, SIZE
from common.sequence import Sequence
from data import dataset
from models import premises, watch
from models.augment import move
from models.folder import write_card

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # tensorflow's chatter
log = logging.getLogger(__name__)

IDLE_NAMES = {"idle", "nobody", "none", "nothing", "rest"}


class Examples(NamedTuple):
    """Windows float32 (n, length, 1662), the number of each one's label, and who recorded it."""

    windows: NDArray[np.float32]
    targets: NDArray[np.int64]
    recorders: NDArray[np.str_]

    def where(self, chosen: NDArray[np.bool_]) -> "Examples":
        return Examples(self.windows[chosen], self.targets[chosen], self.recorders[chosen])


def cut(sequences: Iterable[Sequence], labels: list[str], shape: WindowShape, stride: int) -> Examples:
    """The windows of all sequences, by the code that runs live."""
    windows, targets, recorders = [], [], []
    for sequence in sequences:
        for window in watch.cut(sequence, shape, stride):
            windows.append(window)
            targets.append(labels.index(sequence.label))
            recorders.append(sequence.recorder)
    if not windows:
        raise UserError(f"No sequence is long enough for a window of {shape.length} frames at {shape.fps} frames/s.")
    return Examples(np.stack(windows), np.array(targets), np.array(recorders))


def split(examples: Examples, share: float, seed: int) -> tuple[Examples, Examples, list[str]]:
    """Training part, validation part, and the recorders held out; by label where there is one recorder."""
    rng = np.random.default_rng(seed)
    recorders = np.unique(examples.recorders)
    if len(recorders) > 1:
        held_out = rng.choice(recorders, max(1, round(share * len(recorders))), replace=False)
        chosen = np.isin(examples.recorders, held_out)
    else:
        held_out = np.array([], str)
        chosen = np.zeros(len(examples.targets), bool)
        for target in np.unique(examples.targets):
            # The last of each label, not random ones: neighbouring windows are almost the same.
            where = np.flatnonzero(examples.targets == target)
            chosen[where[len(where) - max(1, round(share * len(where))) :]] = True
    return examples.where(~chosen), examples.where(chosen), sorted(held_out.tolist())


def fit(train: Examples, validation: Examples, labels: int, epochs: int, seed: int) -> tuple[Any, dict[str, Any]]:
    """A Keras model that takes raw windows, and what it reached on the validation part."""
    import tensorflow as tf

    from models.network import AugmentedBatches, Scaling, build

    tf.keras.utils.set_random_seed(seed)
    sample = move(train.windows[:: max(1, len(train.windows) // 1000)], np.random.default_rng(seed))
    scaling = Scaling.of(sample)
    model = build(train.windows.shape[1], SIZE, labels)
    model.compile(tf.keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    counts = Counter(train.targets.tolist())
    callbacks = tf.keras.callbacks
    history = model.fit(
        AugmentedBatches(train.windows, train.targets, scaling, seed),
        validation_data=(scaling(validation.windows), validation.targets),
        class_weight={target: len(train.targets) / len(counts) / n for target, n in counts.items()},
        epochs=epochs,
        callbacks=[
            callbacks.ReduceLROnPlateau(factor=0.5, patience=4),
            callbacks.EarlyStopping(patience=12, restore_best_weights=True),
        ],
        verbose=2,
    ).history
    trained = build(train.windows.shape[1], SIZE, labels)  # without the optimizer's state, a third of the size
    trained.set_weights(model.get_weights())
    scaling.fold_into(trained)
    best = int(np.argmin(history["val_loss"]))
    return trained, {"epoch": best + 1, "loss": history["val_loss"][best], "accuracy": history["val_accuracy"][best]}


def train(arguments: argparse.Namespace) -> None:
    """The command; raises UserError."""
    _check(arguments)
    if (arguments.out / CARD).exists():
        raise UserError(f"{arguments.out} already holds a model: choose another --out, or remove it.")
    sequences = [sequence for folder in arguments.datasets for sequence in dataset.read(folder)]
    labels = sorted({sequence.label for sequence in sequences})
    if len(labels) < 2:
        raise UserError(f"The data has one label, {labels[0]!r}: a model needs at least two to choose from.")
    shape = WindowShape(length=arguments.length, fps=arguments.fps or None)
    examples = cut(sequences, labels, shape, arguments.stride)
    training, validation, held_out = split(examples, arguments.validation, arguments.seed)
    log.info("%d windows to train on, %d to validate (%s)", len(training.targets), len(validation.targets), held_out)
    model, metrics = fit(training, validation, len(labels), arguments.epochs, arguments.seed)
    split_by = "recorders held out" if held_out else "last windows of each label"
    from models.network import ARCHITECTURE

    card = Card(
        layout=LAYOUT,
        labels=labels,
        idle=[label for label in labels if label in IDLE_NAMES],
        window=shape,
        features=RAW,
        decision=Parameters(),
        architecture=ARCHITECTURE,
        parameters=model.count_params(),
        data=_describe(arguments.datasets, sequences, held_out),
        metrics={"validation": metrics, "split": split_by},
        seed=arguments.seed,
        versions={"python": platform.python_version(), "tensorflow": _version(), "numpy": np.__version__},
        commit=_commit(),
        trained=datetime.now(timezone.utc).date().isoformat(),
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    model.save(arguments.out / WEIGHTS)
    write_card(arguments.out, card)
    log.info("%s: accuracy %.3f, loss %.3f (%s)", arguments.out, metrics["accuracy"], metrics["loss"], split_by)


def _check(arguments: argparse.Namespace) -> None:
    for name, right, what in (
        ("length", arguments.length >= 1, "1 frame or more"),
        ("fps", 0 <= arguments.fps <= 1000, "0 to 1000 frames/s"),
        ("stride", arguments.stride >= 1, "1 or more"),
        ("epochs", arguments.epochs >= 1, "1 or more"),
        ("validation", 0 < arguments.validation < 1, "a share between 0 and 1"),
    ):
        if not right:
            raise UserError(f"--{name} {getattr(arguments, name)} will not do: it must be {what}.")


def _describe(folders: list[Path], sequences: list[Sequence], held_out: list[str]) -> dict[str, Any]:
    return {
        "sources": [folder.name for folder in folders],
        "sha256": premises.digest(sequences),
        "fingerprints": [premises.fingerprint(sequence) for sequence in sequences],
        "parts": watch.parts_seen(sequences),
        "sequences": len(sequences),
        "recorders": sorted({sequence.recorder for sequence in sequences}),
        "recorders_held_out": held_out,
    }


def _version() -> str:
    import tensorflow as tf

    return str(tf.__version__)


def _commit() -> str:
    asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return asked.stdout.strip() or "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m models.train", description=__doc__.splitlines()[0])
    parser.add_argument("datasets", type=Path, nargs="+", metavar="DATASET")
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    parser.add_argument("--length", type=int, default=30, help="frames in a window (30)")
    parser.add_argument("--fps", type=float, default=25.0, help="rate windows are resampled to; 0: as they come (25)")
    parser.add_argument("--stride", type=int, default=3, help="frames between two training windows (3)")
    parser.add_argument("--epochs", type=int, default=60, help="at most (60)")
    parser.add_argument("--validation", type=float, default=0.2, help="share held out to choose the epoch (0.2)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with command():
        train(arguments)


if __name__ == "__main__":
    main()
