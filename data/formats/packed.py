"""Read packed sets of many sequences.

    <file>.xz       LZMA over the length of a JSON header (4 bytes), the header, and the numbers

The numbers are fixed point, in steps of 1/scale: int16 differences along time, (sequences, numbers, frames), first all
low bytes, then all high bytes. That is a fifth of .npz. The header holds shape, scale, labels, and may hold the
subject, as `recorder`.
"""

import lzma
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from common.errors import UserError
from common.recording.sequence import UNKNOWN_SUBJECT, KeypointSequence
from data.formats.shared import build_sequence, default_metadata, to_holistic

MAX_BYTES: Final = 2**32  # unpacked: a small file may claim more than fits into memory
Size = Annotated[int, Meta(ge=1, le=2**31)]


class PackedHeader(msgspec.Struct):
    """Shape and meaning of the numbers."""

    shape: tuple[Size, Size, Size]  # sequences, frames, numbers
    scale: Annotated[float, Meta(gt=0)]
    labels: list[str]
    subject: str = msgspec.field(name="recorder", default=UNKNOWN_SUBJECT)


def read(_root: Path, files: Iterable[Path], fps: float) -> Iterator[KeypointSequence]:
    """Read every sequence in the files; raises UserError naming the file that is wrong."""
    for path in files:
        header, rows = _unpacked(path)
        metadata = default_metadata(range(header.shape[1]), fps)
        metadata.subject = header.subject
        for label, frames in zip(header.labels, rows, strict=True):
            yield build_sequence(path, label, to_holistic(path, frames), metadata)


def _unpacked(path: Path) -> tuple[PackedHeader, NDArray[np.float32]]:
    """The header, and the numbers (sequences, frames, numbers)."""
    try:
        whole = lzma.LZMADecompressor().decompress(path.read_bytes(), MAX_BYTES)
        first = 4 + int.from_bytes(whole[:4], "little")
        header = msgspec.json.decode(whole[4:first], type=PackedHeader)
        sequences, frames, numbers = header.shape
        low_high = np.frombuffer(whole, np.uint8, offset=first).reshape(2, sequences * numbers * frames)
    except (OSError, lzma.LZMAError, msgspec.MsgspecError, ValueError) as error:
        raise UserError(f"{path} is not a packed set: {error}.") from error
    if len(header.labels) != sequences:
        raise UserError(f"{path} has {sequences} sequences, but {len(header.labels)} labels.")
    steps = np.ascontiguousarray(low_high.T).view("<i2").reshape(sequences, numbers, frames)
    values = np.cumsum(steps, axis=2, dtype=np.int16).transpose(0, 2, 1).astype(np.float32)
    return header, np.ascontiguousarray(values / np.float32(header.scale))
