"""Files of Google's Isolated Sign Language Recognition are read as they are, and ours have the same columns."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.errors import UserError
from common.keypoints.landmarks import SHAPES, SIZE, split
from common.recording.sequence import KeypointSequence
from data import dataset
from data.formats import parquet

COLUMNS = ["frame", "row_id", "type", "landmark_index", "x", "y", "z"]
RNG = np.random.default_rng(0)


def googles(path: Path, frames: list[int], **changes: object) -> dict[str, np.ndarray]:
    """A file as that set has it, with types as categories, no left hand (null), and no metadata; its x by part."""
    types, index, numbers, points = [], [], [], []
    for frame in frames:
        for part in parquet.TYPES:
            count = SHAPES[part][0]
            types += [part] * count
            index += range(count)
            numbers += [frame] * count
            points.append(np.full((count, 3), np.nan) if part == "left_hand" else RNG.random((count, 3)))
    values = np.concatenate(points)
    columns = {
        "frame": pa.array(numbers, pa.int16()),
        "row_id": [f"{f}-{t}-{i}" for f, t, i in zip(numbers, types, index, strict=True)],
        "type": pa.array(types).dictionary_encode(),
        "landmark_index": pa.array(index, pa.int16()),
        **{axis: pa.array(values[:, number], from_pandas=True) for number, axis in enumerate("xyz")},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({**columns, **changes}), path)
    return {part: values[np.array(types) == part].reshape(len(frames), -1, 3) for part in parquet.TYPES}


def test_googles_set_is_read_as_it_is(tmp_path: Path):
    values = googles(tmp_path / "train_landmark_files" / "26734" / "1000035562.parquet", [20, 21, 24])
    (tmp_path / "train.csv").write_text(
        "path,participant_id,sequence_id,sign\ntrain_landmark_files/26734/1000035562.parquet,26734,1000035562,blow\n"
        "train_landmark_files/28656/1000106739.parquet,28656,1000106739,wait\n"
    )
    (read,) = dataset.read(tmp_path, 20.0)
    assert (read.label, read.subject, read.captured_ns.tolist()) == ("blow", "26734", [0, 50_000_000, 200_000_000])
    parts = split(read.keypoints)
    for part in ("face", "pose", "right_hand"):
        assert (parts[part][..., :3] == values[part].astype(np.float32)).all()
    assert not parts["left_hand"].any()
    assert (parts["pose"][..., 3] == 1).all()


def test_ours_from_before_the_release_say_how_to_convert_them(tmp_path: Path):
    (tmp_path / "wave").mkdir()
    outdated = {parquet.METADATA: b'{"recorder":"anna","stream":"cam","fps":25.0,"captured_ns":[0]}'}
    googles(tmp_path / "wave" / "0.parquet", [0])
    table = pq.read_table(tmp_path / "wave" / "0.parquet")
    visible = table.append_column("visibility", table["x"]).replace_schema_metadata(outdated)
    pq.write_table(visible, tmp_path / "wave" / "0.parquet")
    with pytest.raises(UserError, match=r"0\.parquet is from before release .* convert"):
        dataset.read(tmp_path)


def test_ours_have_its_form(tmp_path: Path):
    keypoints = RNG.random((2, SIZE), np.float32)
    split(keypoints)["face"][1] = 0
    parquet.write(tmp_path / "set", [KeypointSequence("push up/right", keypoints, np.arange(2), "anna", "cam", 30.0)])
    lines = (tmp_path / "set" / "train.csv").read_text().splitlines()
    assert lines == ["path,participant_id,sequence_id,sign", "push up/right/0.parquet,anna,0,push up/right"]
    table = pq.read_table(tmp_path / "set" / "push up" / "right" / "0.parquet")
    assert table.column_names == [*COLUMNS, "visibility"]
    assert table.num_rows == 2 * 543
    assert table["row_id"][468].as_py() == "0-left_hand-0"
    assert table["x"].slice(543, 469).null_count == 468


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"type": ["elbow"] * 543}, "of the type elbow"),
        ({"landmark_index": pa.array([470] * 543, pa.int16())}, "no landmark 470"),
        ({"landmark_index": pa.array([-1] * 543, pa.int16())}, "no landmark"),
        ({"landmark_index": pa.array([None] * 543, pa.int16())}, "no landmark"),
        ({"frame": pa.array([None] * 543, pa.int16())}, "NaN"),
        ({"x": ["left"] * 543}, "left"),
        ({"x": [np.inf] * 543}, "not finite"),
    ],
)
def test_a_table_that_is_wrong_is_named(tmp_path: Path, changes: dict, said: str):
    googles(tmp_path / "bad.parquet", [0], **changes)
    with pytest.raises(UserError, match=rf"bad\.parquet.*{said}"):
        dataset.read(tmp_path / "bad.parquet")


def test_a_table_of_something_else_is_named(tmp_path: Path):
    pq.write_table(pa.table({"frame": [0], "x_face_0": [0.5]}), tmp_path / "bad.parquet")
    with pytest.raises(UserError, match=r"bad\.parquet is not a table of landmarks"):
        dataset.read(tmp_path / "bad.parquet")
    googles(tmp_path / "set" / "wave" / "0.parquet", [0])
    (tmp_path / "set" / "train.csv").write_text("file,label\nwave/0.parquet,wave\n")
    with pytest.raises(UserError, match=r"train\.csv is not a list"):
        dataset.read(tmp_path / "set")
