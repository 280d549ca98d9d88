"""The native data set: one .npz a sequence under <data set>/<label>/, and a manifest.jsonl beside them."""

import io
import os
import zipfile
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.landmarks import LAYOUT, SIZE

MANIFEST = "manifest.jsonl"


class Sequence(NamedTuple):
    """One performance of one action."""

    label: str  # one level, or two as in "push up/right"
    keypoints: NDArray[np.float32]  # (T, 1662)
    captured_ns: NDArray[np.int64]  # (T,), rising
    recorder: str  # who performs
    stream: str
    fps: float  # nominal


class Entry(msgspec.Struct, kw_only=True):
    """A line of the manifest."""

    file: str
    label: str
    recorder: str
    frames: int
    fps: float


def write(folder: Path, name: str, sequence: Sequence) -> Path:
    """Store a sequence as <folder>/<label>/<name>.npz, whole or not at all, and enter it in the manifest.

    Raises UserError for a label or name that would leave the folder, or where the file is there already.
    """
    path = folder.joinpath(*_steps(sequence.label), *_steps(f"{name}.npz"))
    if path.exists():
        raise UserError(f"{path} is there already: choose another data set or remove it.")
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, layout=LAYOUT, **{k: np.asarray(v) for k, v in sequence._asdict().items()})
    draft = path.with_suffix(".part")
    with draft.open("wb") as file:
        file.write(buffer.getvalue())
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    entry = Entry(
        file=path.relative_to(folder).as_posix(),
        label=sequence.label,
        recorder=sequence.recorder,
        frames=len(sequence.keypoints),
        fps=sequence.fps,
    )
    with (folder / MANIFEST).open("ab") as manifest:
        manifest.write(msgspec.json.encode(entry) + b"\n")
    return path


def _steps(name: str) -> list[str]:
    steps = name.split("/")
    if len(steps) > 2 or any(not step or step.startswith(".") or len(step) > 100 for step in steps):
        raise UserError(f"{name!r} cannot name a label or sequence: it must be one or two plain folder names.")
    return steps


def read(folder: Path) -> list[Sequence]:
    """All sequences of a native data set, by label and name; raises UserError naming the file that is wrong."""
    files = sorted(folder.rglob("*.npz"))
    if not files:
        raise UserError(f"{folder} is not a data set: there is no .npz file in it.")
    return [read_sequence(path) for path in files]


def read_sequence(path: Path) -> Sequence:
    """One file of a native data set; raises UserError."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            layout = str(stored["layout"])
            sequence = Sequence(
                str(stored["label"]),
                stored["keypoints"].astype(np.float32),
                stored["captured_ns"].astype(np.int64),
                str(stored["recorder"]),
                str(stored["stream"]),
                float(stored["fps"]),
            )
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a sequence of this project: {error}.") from error
    if layout != LAYOUT:
        raise UserError(f"{path} has landmarks of layout {layout}, this release has {LAYOUT}.")
    return checked(path, sequence)


def checked(path: Path, sequence: Sequence) -> Sequence:
    """The sequence, if it is one; raises UserError naming `path`."""
    keypoints, times = sequence.keypoints, sequence.captured_ns
    if not len(times) or keypoints.shape != (len(times), SIZE) or not np.isfinite(keypoints).all():
        raise UserError(f"{path} holds keypoints {keypoints.shape}, not finite ones of ({len(times) or 1}, {SIZE}).")
    if (np.diff(times) <= 0).any():
        raise UserError(f"{path}: its capture times do not rise.")
    return sequence
