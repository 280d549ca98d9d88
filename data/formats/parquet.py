"""Read and write Parquet files with a row per landmark, as in Google's Isolated Sign Language Recognition (Kaggle).

    train.csv               path,participant_id,sequence_id,sign
    <path>.parquet          frame,row_id,type,landmark_index,x,y,z: 543 landmarks per frame, empty where not detected

Ours have one more column, visibility, and subject, stream, rate and capture times in the file's metadata. Files
without a line in train.csv lie in the folder of their label.
"""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from common.errors import UserError
from common.keypoints.landmarks import SHAPES, SIZE, split
from common.recording.sequence import KeypointSequence
from data.formats.columns import why_unreadable
from data.formats.shared import (
    SequenceMetadata,
    build_sequence,
    decode_metadata,
    default_metadata,
    label_of,
    metadata_of,
    numbered,
)

TRAIN: Final = "train.csv"
TYPES: Final = ("face", "left_hand", "pose", "right_hand")  # in the order of Google's files
COLUMNS: Final = ["frame", "type", "landmark_index", "x", "y", "z", "visibility"]
METADATA: Final = b"actionstream"


def read(root: Path, files: Iterable[Path], fps: float) -> Iterator[KeypointSequence]:
    """Read every sequence in the files; raises UserError naming the file that is wrong."""
    listed = _listed(root)
    for path in files:
        label, subject = listed.get(path.relative_to(root).as_posix()) or (label_of(root, path), "")
        try:
            with pq.ParquetFile(path) as file:
                table = file.read(COLUMNS)
            frames, place = np.unique(table["frame"].to_numpy(), return_inverse=True)
            keypoints = _keypoints(table, len(frames), place)
            stated = (table.schema.metadata or {}).get(METADATA)
            metadata = (
                decode_metadata(path, stated, SequenceMetadata) if stated else default_metadata(frames.tolist(), fps)
            )
        except (OSError, ValueError, LookupError, TypeError, pa.ArrowException, msgspec.MsgspecError) as error:
            raise UserError(f"{path} is not a table of landmarks: {error}.") from error
        if subject and not stated:
            metadata.subject = subject
        yield build_sequence(path, label, keypoints, metadata)


def write(folder: Path, sequences: Iterable[KeypointSequence]) -> None:
    """Write a file per sequence and train.csv into a new folder; raises OSError, and UserError for an invalid label."""
    folder.mkdir()
    with (folder / TRAIN).open("w", newline="", encoding="utf-8") as file:
        train = csv.writer(file)
        train.writerow(["path", "participant_id", "sequence_id", "sign"])
        for number, (name, sequence) in enumerate(numbered(sequences)):
            path = f"{name}.parquet"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(_table(sequence), folder / path)
            train.writerow([path, sequence.subject, number, sequence.label])


def _listed(root: Path) -> dict[str, tuple[str, str]]:
    """Label and subject by path."""
    path = root / TRAIN
    if not path.is_file():
        return {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return {row["path"]: (row["sign"] or "", row["participant_id"] or "") for row in csv.DictReader(file)}
    except (OSError, UnicodeDecodeError, KeyError, csv.Error) as error:
        reason = why_unreadable(error)
        raise UserError(f"{path} is not a list of path, participant_id, sequence_id and sign: {reason}.") from error


def _keypoints(table: pa.Table, frames: int, frame: NDArray[np.intp]) -> NDArray[np.float32]:
    """Keypoints (frames, 1662) from a row per landmark; `frame`: the frame of each row. Raises ValueError."""
    vectors = np.zeros((frames, SIZE), np.float32)
    parts, types = split(vectors), table["type"].cast(pa.string()).to_numpy()
    index = table["landmark_index"].to_numpy()
    values = np.stack([table[axis].to_numpy() for axis in "xyz"], axis=1).astype(np.float32)
    if strange := set(types) - set(TYPES):
        raise ValueError(f"it has landmarks of the type {strange.pop()}")
    # Without the column: full visibility for every point that is there.
    visible = table["visibility"].to_numpy() if "visibility" in table.column_names else ~np.isnan(values[:, 0])
    for part, points in parts.items():
        rows = types == part
        if not ((index[rows] >= 0) & (index[rows] < SHAPES[part][0])).all():
            raise ValueError(f"{part} has no landmark {index[rows].max()}")
        points[frame[rows], index[rows], :3] = values[rows]
        if part == "pose":
            points[frame[rows], index[rows], 3] = visible[rows]
    return vectors


def _table(sequence: KeypointSequence) -> pa.Table:
    parts, count = split(sequence.keypoints), len(sequence.keypoints)
    types = np.repeat(TYPES, [SHAPES[part][0] for part in TYPES])
    index = np.concatenate([np.arange(SHAPES[part][0], dtype=np.int16) for part in TYPES])
    values = np.full((count, len(types), 4), np.nan, np.float32)
    for part in TYPES:
        seen = parts[part].any(axis=(1, 2))
        values[np.ix_(seen, types == part, range(SHAPES[part][1]))] = parts[part][seen]
    frame = np.repeat(np.arange(count, dtype=np.int32), len(types))
    columns = {
        "frame": frame,
        "row_id": [f"{f}-{t}-{i}" for f in range(count) for t, i in zip(types, index, strict=True)],
        "type": np.tile(types, count),
        "landmark_index": np.tile(index, count),
        **{name: pa.array(values[..., n].ravel(), from_pandas=True) for n, name in enumerate("xyz")},
        "visibility": pa.array(values[..., 3].ravel(), from_pandas=True),
    }
    return pa.table(columns, metadata={METADATA: msgspec.json.encode(metadata_of(sequence))})
