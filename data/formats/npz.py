"""Read and write native data sets, and read archives of X, y and actions.

    <label>/<name>.npz      as common/recording/sequence.py packs them, with the manifest of dataset_writer.py
    <file>.npz              X (sequences, frames, numbers), y (sequences,) or one-hot, actions (labels,)

Archives cannot be written: they have no place for sequences of different lengths.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.recording import sequence as native
from common.recording.dataset_writer import DatasetWriter
from common.recording.sequence import UNREADABLE, KeypointSequence, why_unreadable
from data.formats.shared import KNOWN_SIZES, build_sequence, default_metadata, numbered, to_holistic

ARRAYS: Final = ("X", "y", "actions")
EXPECTED: Final = "X (sequences, frames, numbers), y (sequences,) of integers and actions (labels,)"
MAX_ARRAYS: Final = 8  # arrays of an archive, in a sentence


def read(_root: Path, files: Iterable[Path], fps: float) -> Iterator[KeypointSequence]:
    """Read every sequence in the files; raises UserError naming the file that is wrong."""
    for path in files:
        arrays = _load(path)
        if arrays is None:
            yield native.read(path)
        else:
            yield from _unpacked(path, *arrays, fps)


def write(folder: Path, sequences: Iterable[KeypointSequence]) -> None:
    """Write a native data set; raises UserError."""
    with DatasetWriter(folder) as writer:
        for name, sequence in numbered(sequences):
            writer.add(Path(name).name, sequence)


def _load(path: Path) -> tuple[NDArray, NDArray, NDArray] | None:
    """Load X, y and actions; None for a sequence of this project."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if "layout" in stored.files:
                return None
            if set(ARRAYS) <= set(stored.files):
                return stored["X"], stored["y"], stored["actions"]
            found = _contents(stored)
    except UNREADABLE as error:
        reason = why_unreadable(error)
        raise UserError(f"{path} holds neither a sequence of this project nor X, y and actions: {reason}.") from error
    raise UserError(
        f"{path} holds {found}, and neither a sequence of this project nor {EXPECTED}: save it so by np.savez, or each "
        f"sequence as <label>/<name>.npy (frames, numbers), where the numbers of a frame are {KNOWN_SIZES}."
    )


def _contents(stored: Any) -> str:
    names = stored.files
    shown = [f"{name} {_shape(stored, name)}" for name in names[:MAX_ARRAYS]]
    return ", ".join(shown) + (f" and {len(names) - MAX_ARRAYS} more" if len(names) > MAX_ARRAYS else "") or "nothing"


def _shape(stored: Any, name: str) -> str:
    try:
        return str(np.shape(stored[name]))
    except ValueError:  # a pickle, which is not opened
        return "of pickled objects"


def _unpacked(path: Path, arrays: NDArray, y: NDArray, actions: NDArray, fps: float) -> Iterator[KeypointSequence]:
    targets = y.argmax(axis=1) if y.ndim == 2 else y
    if arrays.ndim != 3 or targets.shape != arrays.shape[:1] or targets.dtype.kind not in "iu" or actions.ndim != 1:
        raise UserError(
            f"{path}: X {arrays.shape}, y {y.dtype} {y.shape} and actions {actions.shape} do not fit together: "
            f"{EXPECTED} would."
        )
    if ((targets < 0) | (targets >= len(actions))).any():
        raise UserError(
            f"{path}: y goes from {targets.min()} to {targets.max()}, but there are {len(actions)} actions."
        )
    for rows, target in zip(arrays, targets, strict=True):
        yield build_sequence(
            path, str(actions[target]), to_holistic(path, rows), default_metadata(range(len(rows)), fps)
        )
