"""Pack a recorded sequence into an .npz file, and read it back."""

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
OUTDATED_KEY: Final = "recorder"  # what releases before 0.1.0 called the subject
OUTDATED: Final = (  # the end of a sentence
    "is from before release 0.1.0: convert its data set with the version that wrote it, by python -m data.convert "
    "DATASET NEW.csv --to csv, and use NEW.csv."
)
MIN_DETECTED_RATIO: Final = 0.8  # of the frames: a window of 30 may miss six
# What np.load raises for damaged bytes: in the zip file, its compression, or the header of the array.
UNREADABLE: Final = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError, SyntaxError, TypeError,
    ValueError, lzma.LZMAError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


class KeypointSequence(NamedTuple):
    """One recording of one action, T frames long."""

    label: str  # one level, or two as in "push up/right"
    keypoints: NDArray[np.float32]  # (T, 1662), see common/keypoints/landmarks.py
    captured_ns: NDArray[np.int64]  # (T,), increasing, on the source's own clock
    subject: str  # the person; in sign language, the signer
    stream: str
    fps: float  # nominal


def pack(sequence: KeypointSequence) -> bytes:
    """The content of the sequence's .npz file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, layout=LAYOUT, **{key: np.asarray(value) for key, value in sequence._asdict().items()})
    return buffer.getvalue()


def read(path: Path) -> KeypointSequence:
    """Read an .npz file; raises UserError naming it where it holds no sequence."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if OUTDATED_KEY in stored:
                raise UserError(f"{path} {OUTDATED}")
            layout = str(stored["layout"])
            sequence = KeypointSequence(
                str(stored["label"]),
                stored["keypoints"].astype(np.float32),
                stored["captured_ns"].astype(np.int64),
                str(stored["subject"]),
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
    """The reason np.load gives, as part of a sentence, without its advice to allow pickles."""
    if "pickle" not in str(error):
        return str(error)
    return (
        "it is no array saved by NumPy, or one of Python objects, which are not opened (save numbers, labels as text)"
    )


def check_sequence(path: Path, sequence: KeypointSequence) -> KeypointSequence:
    """Return the sequence; raises UserError naming `path` where its shapes, numbers or times are wrong."""
    keypoints, times = sequence.keypoints, sequence.captured_ns
    if not len(times) or keypoints.shape != (len(times), SIZE):
        raise UserError(f"{path} holds keypoints {keypoints.shape}, not ({len(times) or 1}, {SIZE}).")
    if not np.isfinite(keypoints).all():
        frame = int(np.flatnonzero(~np.isfinite(keypoints).all(axis=1))[0])
        raise UserError(f"{path} holds a number that is not finite in frame {frame}: remove or repair it.")
    if (np.diff(times) <= 0).any():
        raise UserError(f"{path}: its capture times do not increase.")
    return sequence
