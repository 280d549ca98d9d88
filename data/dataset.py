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
    """All sequences of a data set, by label and name; raises UserError naming the file that is wrong."""
    files = sorted(folder.rglob("*.npz"))
    if not files:
        raise UserError(f"{folder} is not a data set: there is no .npz file in it.")
    return [_read(path) for path in files]


def _read(path: Path) -> Sequence:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            values = {key: stored[key] for key in (*Sequence._fields, "layout")}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a sequence of this project: {error}.") from error
    if values["layout"] != LAYOUT:
        raise UserError(f"{path} has landmarks of layout {values['layout']}, this release has {LAYOUT}.")
    keypoints, times = values["keypoints"], values["captured_ns"]
    if keypoints.shape != (len(times), SIZE) or not np.isfinite(keypoints).all():
        raise UserError(f"{path} holds keypoints {keypoints.shape}, not finite ({len(times)}, {SIZE}).")
    if (np.diff(times) <= 0).any():
        raise UserError(f"{path}: its capture times do not rise.")
    return Sequence(
        str(values["label"]),
        keypoints.astype(np.float32),
        times.astype(np.int64),
        str(values["recorder"]),
        str(values["stream"]),
        float(values["fps"]),
    )
