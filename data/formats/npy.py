"""Read and write .npy files by label, a file per frame or a file per sequence.

    <label>/<sequence>/<frame>.npy      a file per frame (numbers,), as in nicknochnack/ActionDetectionforSignLanguage
    <label>/<file>.npy                  a file per sequence (frames, numbers)
    sequences.jsonl                     the metadata: subject, stream, rate, capture times

A frame's number is in its name; a missing number is a frame that is missing in time.
"""

import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.recording.sequence import UNREADABLE, KeypointSequence, why_unreadable
from data.formats.shared import (
    build_sequence,
    default_metadata,
    label_of,
    metadata_of,
    numbered,
    read_metadata,
    to_holistic,
    write_metadata,
)


def read(root: Path, files: Iterable[Path], fps: float) -> Iterator[KeypointSequence]:
    """Read every sequence in the files, of either kind; raises UserError naming what is wrong."""
    known, folders = read_metadata(root), dict[Path, list[Path]]()
    for path in files:
        folders.setdefault(path.parent, []).append(path)
    for folder, paths in folders.items():
        for item, frames, rows in _found(folder, paths):
            metadata = known.get(item.relative_to(root).as_posix()) if item.is_relative_to(root) else None
            yield build_sequence(
                item, label_of(root, item), to_holistic(item, rows), metadata or default_metadata(frames, fps)
            )


def write_frames(folder: Path, sequences: Iterable[KeypointSequence]) -> None:
    """Write a file per frame into a new folder; raises OSError, and UserError for an invalid label."""
    metadata = {}
    for name, sequence in numbered(sequences):
        (folder / name).mkdir(parents=True, exist_ok=True)  # a label a/0 may have made a/0
        for number, vector in enumerate(sequence.keypoints):
            _save(folder / name / f"{number}.npy", vector)
        metadata[name] = metadata_of(sequence)
    write_metadata(folder, metadata)


def write_sequences(folder: Path, sequences: Iterable[KeypointSequence]) -> None:
    """Write a file per sequence into a new folder; raises OSError, and UserError for an invalid label."""
    metadata = {}
    for name, sequence in numbered(sequences):
        file = f"{name}.npy"
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        _save(folder / file, sequence.keypoints)
        metadata[file] = metadata_of(sequence)
    write_metadata(folder, metadata)


def _save(path: Path, array: NDArray[np.float32]) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array)
    path.write_bytes(buffer.getvalue())  # np.save into a file raises nothing where the disk is full


def _found(folder: Path, files: list[Path]) -> list[tuple[Path, Iterable[int], NDArray[np.number]]]:
    """For each sequence its file or folder, the numbers of its frames, and their vectors."""
    arrays = [_load(path) for path in files]
    dimensions = {array.ndim for array in arrays}
    if dimensions == {1}:
        return [(folder, _numbers(folder, files), _stacked(folder, arrays))]
    if dimensions == {2}:
        return [(path, range(len(rows)), rows) for path, rows in zip(files, arrays, strict=True)]
    raise UserError(f"{folder} mixes files of one frame with files of whole sequences: separate them.")


def _load(path: Path) -> NDArray[np.number]:
    try:
        with path.open("rb") as file:
            array = np.load(file, allow_pickle=False)
    except UNREADABLE as error:
        raise UserError(f"{path} is not an array of numbers: {why_unreadable(error)}.") from error
    if not isinstance(array, np.ndarray) or array.ndim not in (1, 2) or array.dtype.kind not in "fiu":
        raise UserError(f"{path} holds neither one frame of numbers nor a sequence of frames.")
    return array


def _stacked(folder: Path, frames: list[NDArray[np.number]]) -> NDArray[np.number]:
    if len(lengths := {len(frame) for frame in frames}) > 1:
        raise UserError(f"{folder}: its frames have different lengths: {sorted(lengths)}.")
    return np.stack(frames)


def _numbers(folder: Path, files: list[Path]) -> list[int]:
    """The frames' numbers, from the ends of their names; their positions where one has none."""
    found = [re.search(r"(\d+)$", path.stem) for path in files]
    numbers = [int(digits[1]) for digits in found if digits]
    if len(numbers) < len(files):
        return list(range(len(files)))
    if numbers != sorted(set(numbers)):
        raise UserError(f"{folder}: its files are not in the order of their frames' numbers, or two have the same.")
    return numbers
