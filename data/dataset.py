"""Detect the format of a data set, and read its sequences.

    <label>/<name>.npz                          native, with a manifest.jsonl
    <label>/<sequence>/<frame>.npy              a file per frame, as nicknochnack/ActionDetectionforSignLanguage has it
    <label>/<file>.npy                          a file per sequence
    <file>.csv                                  a row per frame
    <file>.npz                                  X, y and actions
    <label>/<file>.pose                         of the pose-format library
    train.csv or <label>/, <file>.parquet       a row per landmark, as in Google's Isolated Sign Language Recognition
    <file>.xz                                   many sequences packed

Labels may have two levels of folders. Vectors of 258 (pose and hands), 132 (pose) and 126 (hands) numbers are placed
into 1662; parts that are missing, and NaN, become zeros. Nothing is unpickled.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from common.errors import UserError
from common.files import natural_sort_key, visible_paths
from common.lfs import refuse_pointer
from common.recording import sequence as native
from common.recording.dataset_writer import MANIFEST
from common.recording.sequence import KeypointSequence
from data.formats import npy, npz, packed, parquet, pose, table
from data.formats.shared import SIDECAR, MisplacedFile, check_labels

SequencesByName = Mapping[str, KeypointSequence]  # by <label>/<name>

READERS: Final = {
    ".npz": npz.read,
    ".npy": npy.read,
    ".csv": table.read,
    ".pose": pose.read,
    ".parquet": parquet.read,
    ".xz": packed.read,
}
MIN_FPS, MAX_FPS = 0.1, 1000.0  # of any camera
ROOT_FILES: Final = (MANIFEST, SIDECAR, parquet.TRAIN)  # which only the folder that holds the labels has


def read(path: Path, fps: float = 25.0) -> list[KeypointSequence]:
    """Read all sequences of a data set in any of the formats.

    Args:
        path: a folder, or a single file.
        fps: the rate of recordings that state none.

    Raises:
        UserError: there is no data set, or a file of it is wrong; the text names the file.
    """
    try:
        path.stat()
        files = [path] if path.is_file() else _files(path)
    except OSError as error:
        raise UserError(f"There is no data set {path} that can be read: {error.strerror}.") from error
    formats = {suffix: found for suffix in READERS if (found := [file for file in files if file.suffix == suffix])}
    if (path / MANIFEST).exists():
        formats = {suffix: found for suffix, found in formats.items() if suffix == ".npz"}  # the others are reports
    elif ".parquet" in formats:
        formats.pop(".csv", None)  # train.csv
    if not formats:
        refuse_pointer(path)
        raise UserError(
            f"{path} is not a data set: no {', '.join(READERS)} file is there (of videos, data.extract makes one)."
        )
    if len(formats) > 1:
        one, other = [found[0] for found in formats.values()][:2]
        meant = _suggestion(path, [file for found in formats.values() for file in found])
        raise UserError(f"{path} mixes formats, such as {one} and {other}: keep each in a folder of its own{meant}.")
    (suffix, found), *_ = formats.items()
    for file in (*found, *(path / name for name in ROOT_FILES)):
        refuse_pointer(file)
    try:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which check_sequence refuses
            sequences = list(READERS[suffix](path, found, fps))
    except MisplacedFile as error:
        raise UserError(f"{error}{_suggestion(path, found)}.") from error
    if not sequences:
        raise UserError(f"{path} is not a data set: its files hold no frames.")
    if not any((path / name).exists() for name in ROOT_FILES):
        check_labels(path, {sequence.label for sequence in sequences}, f"put an empty file {SIDECAR} into {path}")
    # A folder's name need not be text.
    return [one._replace(label=one.label.encode(errors="replace").decode()) for one in sequences]


def read_named(path: Path, fps: float) -> SequencesByName:
    """Read a data set as `read` does, by <label>/<name>, or by <label>/<number> where its format has no such names.

    Raises UserError too where `fps` is no rate of a camera.
    """
    if not MIN_FPS <= fps <= MAX_FPS:
        raise UserError(f"--fps {fps:g} is no frame rate: choose {MIN_FPS:g} to {MAX_FPS:g} frames/s.")
    files = sorted(path.rglob("*.npz")) if is_native(path) else []
    if files:
        return {file.relative_to(path).with_suffix("").as_posix(): native.read(file) for file in files}
    named, counts = {}, Counter[str]()
    for sequence in read(path, fps):
        named[f"{sequence.label}/{counts[sequence.label]}"] = sequence
        counts[sequence.label] += 1
    return named


def is_native(folder: Path) -> bool:
    """Whether a folder is a data set of this project, with a manifest."""
    return (folder / MANIFEST).is_file()


def _files(folder: Path) -> list[Path]:
    return sorted((path for path in visible_paths(folder) if path.is_file()), key=natural_sort_key)


def _suggestion(root: Path, files: Sequence[Path]) -> str:
    """The end of a sentence that names the folder below, if any, that holds most of the files."""
    deeper = [file.relative_to(root).parts[0] for file in files if file != root and file.parent != root]
    if not deeper:
        return ""
    ((most, _),) = Counter(deeper).most_common(1)
    return f", or name {os.path.commonpath([file.parent for file in files if file.is_relative_to(root / most)])}"
