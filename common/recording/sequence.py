"""One recorded performance in, one .npz file out, and back."""

import io
import lzma
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.keypoints.landmarks import LAYOUT, SIZE
from common.lfs import refuse_pointer

UNKNOWN_SUBJECT: Final = "unknown"
MIN_PERSON_RATIO: Final = 0.8  # of the frames: a window of 30 may miss six
# What np.load raises for damaged bytes, from the zip file, what it is compressed by, and the header of the array.
UNREADABLE: Final = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError, SyntaxError, TypeError,
    ValueError, lzma.LZMAError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


class KeypointSequence(NamedTuple):
    """One performance of one action."""

    label: str  # one level, or two as in "push up/right"
    keypoints: NDArray[np.float32]  # (T, 1662)
    captured_ns: NDArray[np.int64]  # (T,), rising
    subject: str  # who performs
    stream: str
    fps: float  # nominal


def pack(sequence: KeypointSequence) -> bytes:
    """The content of its .npz file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, layout=LAYOUT, **{key: np.asarray(value) for key, value in sequence._asdict().items()})
    return buffer.getvalue()


def read(path: Path) -> KeypointSequence:
    """The sequence in a .npz file; raises UserError naming the file."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            layout = str(stored["layout"])
            sequence = KeypointSequence(
                str(stored["label"]),
                stored["keypoints"].astype(np.float32),
                stored["captured_ns"].astype(np.int64),
                str(stored["subject" if "subject" in stored else "recorder"]),
                str(stored["stream"]),
                float(stored["fps"]),
            )
    except UNREADABLE as error:
        refuse_pointer(path)
        raise UserError(f"{path} is not a sequence of this project: {why_unreadable(error)}.") from error
    if layout != LAYOUT:
        raise UserError(f"{path} has landmarks of layout {layout}, this release has {LAYOUT}.")
    return check_sequence(path, sequence)


def why_unreadable(error: Exception) -> str:
    """What np.load says, as part of a sentence for people; what it advises, to allow pickles, is no way out here."""
    if "pickle" not in str(error):
        return str(error)
    return (
        "it is no array saved by NumPy, or one of Python objects, which are not opened (save numbers, labels as text)"
    )


def check_sequence(path: Path, sequence: KeypointSequence) -> KeypointSequence:
    """The sequence, if it is one; raises UserError naming `path`."""
    keypoints, times = sequence.keypoints, sequence.captured_ns
    if not len(times) or keypoints.shape != (len(times), SIZE):
        raise UserError(f"{path} holds keypoints {keypoints.shape}, not ({len(times) or 1}, {SIZE}).")
    if not np.isfinite(keypoints).all():
        frame = int(np.flatnonzero(~np.isfinite(keypoints).all(axis=1))[0])
        raise UserError(f"{path} holds a number that is not finite in frame {frame}: remove or repair it.")
    if (np.diff(times) <= 0).any():
        raise UserError(f"{path}: its capture times do not rise.")
    return sequence
