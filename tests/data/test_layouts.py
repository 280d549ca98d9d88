"""Every layout that is about is recognised by looking, and what is wrong is named."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from common.landmarks import SLICES
from data import dataset, layouts
from data.dataset import Sequence

SHARED = Path(os.environ.get("ACTIONSTREAM_SHARED", Path(__file__).parents[3] / "shared")) / "data"
RNG = np.random.default_rng(0)
FPS = 20.0


def rows(frames: int = 3, numbers: int = 1662) -> np.ndarray:
    return RNG.random((frames, numbers))


def frames(folder: Path, values: np.ndarray, names: list[str]) -> Path:
    folder.mkdir(parents=True)
    for name, row in zip(names, values, strict=True):
        np.save(folder / f"{name}.npy", row)
    return folder


def test_one_file_a_frame(tmp_path: Path):
    values = rows(12)
    frames(tmp_path / "wave" / "10", values, [str(number) for number in range(12)])
    frames(tmp_path / "wave" / "seq_02", values[:3], ["frame_1", "frame_2", "frame_4"])
    frames(tmp_path / "push up" / "wrong" / "0", values[:2], ["0", "1"])
    deep, first, second = layouts.read(tmp_path, FPS)
    assert (deep.label, first.label, second.label) == ("push up/wrong", "wave", "wave")
    assert first.keypoints.dtype == np.float32
    assert (first.keypoints == values.astype(np.float32)).all()
    assert first.captured_ns.tolist() == [number * 50_000_000 for number in range(12)]
    assert second.captured_ns.tolist() == [0, 50_000_000, 150_000_000], "a missing frame is missing in time"
    assert (first.recorder, first.fps) == (layouts.UNKNOWN, FPS)


def test_one_file_a_sequence(tmp_path: Path):
    frames(tmp_path / "wave", np.stack([rows(5), rows(5)]), ["a", "b"])
    assert [len(sequence.keypoints) for sequence in layouts.read(tmp_path, FPS)] == [5, 5]


def test_arrays_of_all_sequences(tmp_path: Path):
    values = rows(10, 132).reshape(2, 5, 132)
    np.savez(tmp_path / "all.npz", X=values, y=np.array([1, 0]), actions=np.array(["curl", "press"]))
    first, second = layouts.read(tmp_path / "all.npz", FPS)
    assert (first.label, second.label) == ("press", "curl")
    assert (first.keypoints[:, SLICES["pose"]] == values[0].astype(np.float32)).all()
    assert not first.keypoints[:, SLICES["face"]].any()


@pytest.mark.parametrize(("numbers", "parts"), list(layouts.VECTORS.items()))
def test_shorter_vectors_are_placed(tmp_path: Path, numbers: int, parts: tuple[str, ...]):
    values = rows(2, numbers)
    placed = layouts.place(tmp_path, values)
    assert (np.concatenate([placed[:, SLICES[part]] for part in parts], axis=1) == values.astype(np.float32)).all()
    assert np.count_nonzero(placed) == values.size


def table(path: Path, header: list[str], lines: list[list[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *lines])
    return path


@pytest.mark.parametrize("points", list(layouts.CSV_PARTS))
def test_a_table_of_x_y_z_v(tmp_path: Path, points: int):
    header = ["class", *(f"{axis}{number}" for number in range(1, points + 1) for axis in "xyzv")]
    values = rows(4, 4 * points)
    classes = ["happy", "happy", "sad", "happy"]
    path = table(tmp_path / "coords.csv", header, [[c, *row] for c, row in zip(classes, values, strict=True)])
    read = layouts.read(path, FPS)
    assert [(sequence.label, len(sequence.keypoints)) for sequence in read] == [("happy", 2), ("sad", 1), ("happy", 1)]
    assert (read[0].keypoints[:, SLICES["pose"]] == values[:2, :132].astype(np.float32)).all()
    if points > 33:
        face = values[1, 132 : 132 + 468 * 4].reshape(468, 4)[:, :3].ravel()
        assert (read[0].keypoints[1, SLICES["face"]] == face.astype(np.float32)).all()


def test_the_native_layout(tmp_path: Path):
    sequence = Sequence("wave", rows(3).astype(np.float32), np.array([0, 1, 5]), "anna", "cam", 30.0)
    dataset.write(tmp_path, "1", sequence)
    (read,) = layouts.read(tmp_path, FPS)
    assert (read.recorder, read.fps, read.captured_ns.tolist()) == ("anna", 30.0, [0, 1, 5])


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        ("wave/0/0.npy", np.array([{"an": "object"}], object), "not an array of numbers"),
        ("wave/0/0.npy", np.full(1662, np.nan), "not finite"),
        ("wave/0/0.npy", np.full(1662, np.inf), "not finite"),
        ("wave/0/0.npy", np.zeros(1661), "not frames of 1662, 258, 132, 126"),
        ("wave/0/0.npy", np.zeros((2, 2, 2)), "neither one frame nor a sequence"),
        ("wave/0/0.npy", np.array(["text"]), "neither one frame nor a sequence"),
        ("0.npy", np.zeros((2, 1662)), "folder of a label"),
        ("a/b/c/0/0.npy", np.zeros(1662), "folder of a label"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, array: np.ndarray, said: str):
    path = tmp_path / "set" / name
    path.parent.mkdir(parents=True)
    np.save(path, array)
    with pytest.raises(UserError, match=said) as error:
        layouts.read(tmp_path / "set", FPS)
    assert str(tmp_path) in str(error.value)


def test_no_data_is_no_data_set(tmp_path: Path):
    with pytest.raises(UserError, match="There is no data set"):
        layouts.read(tmp_path / "nowhere", FPS)
    with pytest.raises(UserError, match="is not a data set"):
        layouts.read(tmp_path, FPS)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the project's shared data is not here")
def test_the_notebooks_folder_is_read_as_it_is():
    sequences = layouts.read(SHARED / "mp_data_mit" / "MP_Data", 30.0)
    assert len(sequences) == 24
    assert {sequence.label for sequence in sequences} == {"hello", "iloveyou", "thanks"}
    assert {sequence.keypoints.shape for sequence in sequences} == {(30, 1662)}
