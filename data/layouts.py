"""Recordings in any layout that is about, recognised by looking, in; sequences out.

    native                             <label>/<name>.npz as data/dataset.py writes them
    <label>/<sequence>/<frame>.npy     one file a frame, as the well-known notebook writes them
    <label>/<file>.npy                 one file a sequence (frames, numbers)
    <file>.npz                         X (sequences, frames, numbers), y, actions
    <file>.csv                         one row a frame: with a header of this project, or class,x1,y1,z1,v1,...

Vectors of 1662, 258 (pose and hands), 132 (pose) and 126 (hands) numbers are placed into 1662. Labels may
have two levels of folders. Nothing is unpickled.
"""

import csv
import re
import zipfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.landmarks import PARTS, SHAPES, SIZE, SLICES
from data import dataset
from data.dataset import Sequence

UNKNOWN: Final = "unknown"  # recorder
CSV_HEADER: Final = ("class", "sequence", "recorder", "captured_ns")
VECTORS: Final = {
    SIZE: PARTS,
    258: ("pose", "left_hand", "right_hand"),
    132: ("pose",),
    126: ("left_hand", "right_hand"),
}
# A row of class,x1,y1,z1,v1,...: four numbers for every point, whether it has a visibility or not.
CSV_PARTS: Final = {33: ("pose",), 501: ("pose", "face"), 543: PARTS}


def read(path: Path, fps: float) -> list[Sequence]:
    """All sequences of a data set in any of the layouts; raises UserError naming the file that is wrong.

    fps: the rate of recordings that do not say theirs.
    """
    if not path.exists():
        raise UserError(f"There is no data set {path}.")
    sequences = list(_read_file(path, fps) if path.is_file() else _read_folder(path, fps))
    if not sequences:
        raise UserError(f"{path} is not a data set: no .npz, .npy or .csv file in it holds keypoints.")
    return sequences


def _read_file(path: Path, fps: float) -> Iterator[Sequence]:
    if path.suffix == ".csv":
        yield from _read_csv(path, fps)
    elif path.suffix == ".npz":
        yield from _read_npz(path, fps)
    else:
        raise UserError(f"{path} is not a data set: a folder, or a .npz or .csv file.")


def _read_folder(folder: Path, fps: float) -> Iterator[Sequence]:
    for path in sorted((p for p in folder.rglob("*") if p.suffix in (".npz", ".csv")), key=natural):
        yield from _read_file(path, fps)
    by_folder = groupby(sorted(folder.rglob("*.npy"), key=natural), key=lambda path: path.parent)
    for parent, files in by_folder:
        yield from _read_npy(folder, parent, list(files), fps)


def _read_npz(path: Path, fps: float) -> Iterator[Sequence]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            native = "layout" in stored.files
            values = {} if native else {key: stored[key] for key in ("X", "y", "actions")}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} holds neither a sequence of this project nor X, y and actions: {error}.") from error
    if native:
        yield dataset.read_sequence(path)
        return
    for rows, target in zip(values["X"], values["y"], strict=True):
        yield _sequence(path, str(values["actions"][int(target)]), rows, fps)


# --- .npy -----------------------------------------------------------------------------------------


def _read_npy(root: Path, folder: Path, files: list[Path], fps: float) -> Iterator[Sequence]:
    arrays = [_load_npy(path) for path in files]
    flat = [array.ndim == 1 for array in arrays]
    if all(flat):
        numbers = [_number(path, position) for position, path in enumerate(files)]
        label = _label(root, folder.parent, folder)
        times = np.array([round((number - numbers[0]) / fps * 1e9) for number in numbers], np.int64)
        if len({len(array) for array in arrays}) > 1:
            raise UserError(f"{folder}: its frames have different lengths: {sorted({len(a) for a in arrays})}.")
        yield _sequence(folder, label, np.stack(arrays), fps, times)
    elif not any(flat):
        for path, array in zip(files, arrays, strict=True):
            yield _sequence(path, _label(root, folder, folder), array, fps)
    else:
        raise UserError(f"{folder} mixes files of one frame with files of whole sequences: separate them.")


def _load_npy(path: Path) -> NDArray[np.floating]:
    try:
        with path.open("rb") as file:
            array = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is not an array of numbers: {error}.") from error
    if array.ndim not in (1, 2) or array.dtype.kind not in "fiu":
        raise UserError(f"{path} holds {array.dtype} {array.shape}, neither one frame nor a sequence of frames.")
    return array


def _number(path: Path, position: int) -> int:
    """The frame's number, in its name: what is missing in between is missing in time."""
    digits = re.search(r"(\d+)$", path.stem)
    return int(digits[1]) if digits else position


def _label(root: Path, folder: Path, shown: Path) -> str:
    steps = folder.relative_to(root).parts if folder.is_relative_to(root) else ()
    if not 1 <= len(steps) <= 2:
        raise UserError(f"{shown} does not lie in the folder of a label below {root}, or of two levels of labels.")
    return "/".join(steps)


# --- .csv -----------------------------------------------------------------------------------------


def _read_csv(path: Path, fps: float) -> Iterator[Sequence]:
    """One sequence for each run of rows with the same class, or of the same sequence where rows say it."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        named = tuple(header[: len(CSV_HEADER)]) == CSV_HEADER
        if not named and header[:2] != ["class", "x1"]:
            raise UserError(f"{path}: its first line is neither class,x1,... nor {','.join(CSV_HEADER)},...")
        keys = len(CSV_HEADER) - 1 if named else 1
        for key, run in groupby(enumerate(rows, start=2), key=lambda numbered: tuple(numbered[1][:keys])):
            lines = list(run)
            if not key:
                continue  # an empty line
            first = len(CSV_HEADER) if named else 1
            values = _numbers(path, lines, first, len(header) - first)
            if named:
                times = np.array([int(row[3]) for _, row in lines], np.int64)
                yield _sequence(path, key[0], values, fps, times, key[2])
            else:
                yield _sequence(path, key[0], _without_fourth(path, values), fps)


def _numbers(path: Path, lines: list[tuple[int, list[str]]], first: int, count: int) -> NDArray[np.float32]:
    table = np.empty((len(lines), count), np.float32)
    for place, (line, row) in enumerate(lines):
        try:
            table[place] = [float(value) for value in row[first:]]
        except ValueError as error:
            raise UserError(f"{path}, line {line}: not {count} numbers ({error}).") from error
    return table


def _without_fourth(path: Path, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of x, y, z, v for every point to vectors, in which only the pose has a v."""
    points = values.shape[1] / 4
    if points not in CSV_PARTS:
        raise UserError(f"{path}: {values.shape[1]} numbers a row are not x, y, z, v of {sorted(CSV_PARTS)} points.")
    table, vectors, first = values.reshape(len(values), -1, 4), np.zeros((len(values), SIZE), np.float32), 0
    for part in CSV_PARTS[int(points)]:
        count, width = SHAPES[part]
        vectors[:, SLICES[part]] = table[:, first : first + count, :width].reshape(len(values), -1)
        first += count
    return vectors


# --- all ------------------------------------------------------------------------------------------


def _sequence(
    path: Path,
    label: str,
    rows: NDArray[np.floating],
    fps: float,
    times: NDArray[np.int64] | None = None,
    recorder: str = UNKNOWN,
) -> Sequence:
    if times is None:
        times = np.round(np.arange(len(rows)) / fps * 1e9).astype(np.int64)
    return dataset.checked(path, Sequence(label, place(path, rows), times, recorder, "", fps))


def place(path: Path, rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """(frames, 1662) of (frames, 1662, 258, 132 or 126), with zeros for the parts that are not there."""
    if rows.ndim != 2 or rows.shape[1] not in VECTORS:
        known = ", ".join(map(str, VECTORS))
        raise UserError(f"{path} holds {rows.shape}: not frames of {known} numbers.")
    vectors, first = np.zeros((len(rows), SIZE), np.float32), 0
    for part in VECTORS[rows.shape[1]]:
        width = SLICES[part].stop - SLICES[part].start
        vectors[:, SLICES[part]] = rows[:, first : first + width]
        first += width
    return vectors


def natural(path: Path) -> list[tuple[int, str]]:
    """Sorts frame2 before frame10."""
    return [(int(step), "") if step.isdecimal() else (-1, step) for step in re.split(r"(\d+)", str(path))]
