"""Read and write a .csv with a row per frame.

    class,sequence,subject,stream,fps,captured_ns,...      the project's own
    class,x1,y1,z1,v1,...                                   as tutorials on Holistic write it

Of the columns before the numbers only `class` is required. A sequence is a run of rows that agree in all of them but
the capture time. A missing number, as pandas and R write it, is NaN: not detected.
"""

import csv
import math
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.keypoints.landmarks import PARTS, SHAPES, SIZE, SLICES, VECTOR_SIZES
from common.recording.sequence import KeypointSequence
from data.formats.columns import how_to_fix, mismatch, why_unreadable, with_subject
from data.formats.shared import KNOWN_SIZES, build_sequence, default_metadata, numbered, to_holistic

COLUMNS: Final = ("class", "sequence", "subject", "stream", "fps", "captured_ns")
# Four numbers per point, even where it has no visibility.
WITH_FOURTH: Final = {4 * 501: ("pose", "face"), 4 * 543: PARTS}
WIDTHS: Final = (*VECTOR_SIZES, *WITH_FOURTH)
SAMPLED_LINES: Final = 20  # by which columns are interpreted

MISSING: Final = frozenset(("", "na", "null", "none"))


def read(_root: Path, files: Iterable[Path], fps: float) -> Iterator[KeypointSequence]:
    """Read every sequence in the tables; raises UserError naming the line that is wrong."""
    for path in files:
        try:
            yield from _read(path, fps)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{path} cannot be read as a table: {why_unreadable(error)}.") from error


def write(path: Path, sequences: Iterable[KeypointSequence]) -> None:
    """Write a new file; raises OSError, and UserError for an invalid label."""
    numbers = [f"{part}_{point}_{axis}" for part, point, axis in _numbers(SIZE)]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow([*COLUMNS, *numbers])
        for name, sequence in numbered(sequences):
            metadata = [sequence.label, name.rpartition("/")[2], sequence.subject, sequence.stream, sequence.fps]
            texts = sequence.keypoints.astype(str)  # the shortest that round-trip
            for captured_ns, row in zip(sequence.captured_ns.tolist(), texts.tolist(), strict=True):
                table.writerow([*metadata, captured_ns, *row])


def _numbers(width: int) -> Iterator[tuple[str, int, str]]:
    """Part, point and axis of each number of a frame."""
    for part in VECTOR_SIZES.get(width) or WITH_FOURTH[width]:
        points, values = SHAPES[part]
        for point in range(points):
            yield from ((part, point, axis) for axis in "xyzv"[: 4 if width in WITH_FOURTH else values])


def _read(path: Path, fps: float) -> Iterator[KeypointSequence]:
    with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets put a byte order mark first
        rows = csv.reader(file)
        header = with_subject(next(rows, []))
        columns: list[str] = [column for column in COLUMNS if column in header]
        if "class" not in columns or header[: len(columns)] != columns or len(header) - len(columns) not in WIDTHS:
            todo = how_to_fix(header, list(islice(rows, SAMPLED_LINES)), columns, WIDTHS, KNOWN_SIZES)
            raise UserError(f"{path}: its first line is neither class,x1,... nor {','.join(COLUMNS)},...: {todo}.")
        meant = [(part, axis) for part, _, axis in _numbers(len(header) - len(columns))]
        if wrong := mismatch(header[len(columns) :], meant):
            raise UserError(
                f"{path}: {wrong}: order the numbers as {KNOWN_SIZES}, point by point, or name the columns 1,2,...."
            )
        lines = ((rows.line_num, row) for row in rows if row)
        alike = len(columns) - ("captured_ns" in columns)
        for _, run in groupby(lines, key=lambda line: line[1][:alike]):
            yield _sequence(path, columns, len(header) - len(columns), list(run), fps)


def _sequence(
    path: Path, columns: list[str], width: int, lines: list[tuple[int, list[str]]], fps: float
) -> KeypointSequence:
    values, times = np.empty((len(lines), width), np.float32), []
    for frame, (line, row) in enumerate(lines):
        fields = dict(zip(columns, row, strict=False))
        try:
            if len(row) != len(columns) + width:
                raise ValueError(f"it has {len(row)} columns, the first line {len(columns) + width}")
            times.append(int(fields.get("captured_ns", 0)))
            rate = float(fields.get("fps", fps))
            if not 0 < rate < math.inf:
                raise ValueError(f"{rate} frames/s is no rate")
            values[frame] = [_number(text) for text in row[len(columns) :]]
        except ValueError as error:
            raise UserError(f"{path}, line {line} is not a frame: {error}.") from error
    metadata = default_metadata(range(len(lines)), rate)
    metadata.subject, metadata.stream = fields.get("subject", metadata.subject), fields.get("stream", metadata.stream)
    if "captured_ns" in columns:
        metadata.captured_ns = times
    vectors = _without_fourth(values) if width in WITH_FOURTH else to_holistic(path, values)
    return build_sequence(path, fields["class"], vectors, metadata)


def _number(text: str) -> float:
    return math.nan if text.strip().lower() in MISSING else float(text)


def _without_fourth(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Convert x, y, z, v for every point to vectors (frames, 1662), in which only the pose has v."""
    points, vectors, first = values.reshape(len(values), -1, 4), np.zeros((len(values), SIZE), np.float32), 0
    for part in WITH_FOURTH[values.shape[1]]:
        count, width = SHAPES[part]
        vectors[:, SLICES[part]] = points[:, first : first + count, :width].reshape(len(values), -1)
        first += count
    return vectors
