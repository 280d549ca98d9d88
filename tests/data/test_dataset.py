"""Every format is detected, and every mistake is answered in one sentence."""

import csv
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from common.keypoints.landmarks import SIZE, SLICES
from common.recognition.classifier import WindowSpec
from common.recording.dataset_writer import DatasetWriter
from common.recording.sequence import UNKNOWN_SUBJECT, KeypointSequence
from data import dataset
from data.formats import table
from data.formats.shared import SIDECAR, VECTOR_SIZES, to_holistic
from models.training_data.windows import cut_windows

RNG = np.random.default_rng(0)
FPS = 20.0


def rows(frames: int = 3, numbers: int = SIZE) -> np.ndarray:
    return RNG.random((frames, numbers))


def files(folder: Path, values: np.ndarray, names: list[str]) -> Path:
    folder.mkdir(parents=True)
    for name, row in zip(names, values, strict=True):
        np.save(folder / f"{name}.npy", row)
    return folder


def spreadsheet(path: Path, header: list[str], lines: list[list[object]], encoding: str = "utf-8") -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file).writerows([header, *lines])
    return path


def test_the_native_format_with_reports_beside(tmp_path: Path):
    with DatasetWriter(tmp_path) as writer:
        keypoints = rows().astype(np.float32)
        writer.add("1", KeypointSequence("wave", keypoints, np.array([0, 1, 5]), "anna", "cam", 30.0))
    spreadsheet(tmp_path / "report.csv", ["video", "frames"], [["a.mp4", 3]])
    (read,) = dataset.read(tmp_path)
    assert (read.subject, read.fps, read.captured_ns.tolist()) == ("anna", 30.0, [0, 1, 5])


def test_one_file_a_frame(tmp_path: Path):
    values = rows(12)
    files(tmp_path / "wave" / "10", values, [str(number) for number in range(12)])
    files(tmp_path / "wave" / "seq_02", values[:3], ["frame_1", "frame_2", "frame_4"])
    files(tmp_path / "push up" / "wrong" / "0", values[:2], ["a", "b"])
    deep, first, second = dataset.read(tmp_path, FPS)
    assert (deep.label, first.label, second.label) == ("push up/wrong", "wave", "wave")
    assert first.keypoints.dtype == np.float32
    assert (first.keypoints == values.astype(np.float32)).all()
    assert first.captured_ns.tolist() == [number * 50_000_000 for number in range(12)]
    assert second.captured_ns.tolist() == [0, 50_000_000, 150_000_000], "a missing frame is missing in time"
    assert (first.subject, first.fps) == (UNKNOWN_SUBJECT, FPS)


def test_one_file_a_sequence(tmp_path: Path):
    folder = files(tmp_path / "wave", np.stack([rows(5), rows(5)]), ["a", "b"])
    assert [len(sequence.keypoints) for sequence in dataset.read(tmp_path)] == [5, 5]
    assert dataset.read(folder / "a.npy")[0].label == "a"


@pytest.mark.parametrize("y", [np.array([1, 0]), np.array([[0, 1], [1, 0]])])
def test_arrays_of_all_sequences(tmp_path: Path, y: np.ndarray):
    values = rows(10, 132).reshape(2, 5, 132)
    np.savez(tmp_path / "all.npz", X=values, y=y, actions=np.array(["curl", "press"]))
    first, second = dataset.read(tmp_path / "all.npz", FPS)
    assert (first.label, second.label) == ("press", "curl")
    assert (first.keypoints[:, SLICES["pose"]] == values[0].astype(np.float32)).all()
    assert not first.keypoints[:, SLICES["face"]].any()


@pytest.mark.parametrize(("numbers", "parts"), list(VECTOR_SIZES.items()))
def test_shorter_vectors_are_placed(tmp_path: Path, numbers: int, parts: tuple[str, ...]):
    values = rows(2, numbers)
    placed = to_holistic(tmp_path, values)
    assert (np.concatenate([placed[:, SLICES[part]] for part in parts], axis=1) == values.astype(np.float32)).all()
    assert np.count_nonzero(placed) == values.size


@pytest.mark.parametrize("points", [33, 501, 543])
def test_a_table_of_x_y_z_v(tmp_path: Path, points: int):
    header = ["class", *(f"{axis}{number}" for number in range(1, points + 1) for axis in "xyzv")]
    values = rows(4, 4 * points)
    classes = ["happy", "happy", "sad", "happy"]
    lines = [[name, *row] for name, row in zip(classes, values, strict=True)]
    path = spreadsheet(tmp_path / "coords.csv", header, lines, encoding="utf-8-sig")
    read = dataset.read(path, FPS)
    assert [(sequence.label, len(sequence.keypoints)) for sequence in read] == [("happy", 2), ("sad", 1), ("happy", 1)]
    assert (read[0].keypoints[:, SLICES["pose"]] == values[:2, :132].astype(np.float32)).all()
    if points > 33:
        face = values[1, 132 : 132 + 468 * 4].reshape(468, 4)[:, :3].ravel()
        assert (read[0].keypoints[1, SLICES["face"]] == face.astype(np.float32)).all()


def test_a_table_says_what_its_columns_say(tmp_path: Path):
    header = ["class", "sequence", "subject", "captured_ns", *map(str, range(126))]
    lines = [["wave", number, "anna", time, *rows(1, 126)[0]] for number, time in [(0, 5), (0, 9), (1, 0)]]
    first, second = dataset.read(spreadsheet(tmp_path / "a.csv", header, lines), FPS)
    assert (first.subject, first.fps, first.captured_ns.tolist()) == ("anna", FPS, [5, 9])
    assert len(second.keypoints) == 1


WRONG_ARRAYS = [
    ("wave/0/0.npy", np.array([{"an": "object"}], object), "not an array of numbers"),
    ("wave/0/0.npy", np.full(SIZE, -np.inf), "not finite"),
    ("wave/0/0.npy", np.full(SIZE, np.inf), "not finite"),
    ("wave/0/0.npy", np.full(SIZE, 1e300), "not finite"),
    ("wave/0/0.npy", np.zeros(1661), "not frames of 1662, 258, 132, 126"),
    ("wave/0/0.npy", np.zeros((2, 2, 2)), "neither one frame of numbers nor a sequence"),
    ("wave/0/0.npy", np.array(["text"]), "neither one frame of numbers nor a sequence"),
    ("wave/0.npy", np.zeros((0, SIZE)), r"holds keypoints \(0, 1662\)"),
    ("wave/0/99999999999999999999.npy", np.zeros(SIZE), None),
    ("0.npy", np.zeros((2, SIZE)), "folder of a label"),
    ("a/b/c/0/0.npy", np.zeros(SIZE), "folder of a label"),
]


@pytest.mark.parametrize(("name", "array", "said"), WRONG_ARRAYS)
def test_an_array_that_is_wrong_is_named(tmp_path: Path, name: str, array: np.ndarray, said: str | None):
    path = tmp_path / "set" / name
    path.parent.mkdir(parents=True)
    np.save(path, array)
    if said is None:  # a huge number is fine where it is the first
        assert dataset.read(tmp_path / "set")
        np.save(path.with_name("0.npy"), array)
        said = "beyond 64 bits"
    with pytest.raises(UserError, match=said) as error:
        dataset.read(tmp_path / "set")
    assert str(tmp_path) in str(error.value)


def test_frames_that_do_not_belong_together_are_named(tmp_path: Path):
    files(tmp_path / "1" / "wave" / "0", rows(2), ["1", "01"])
    with pytest.raises(UserError, match="two have the same"):
        dataset.read(tmp_path / "1")
    folder = files(tmp_path / "2" / "wave" / "0", rows(2), ["0", "1"])
    np.save(folder / "2.npy", np.zeros(132))
    with pytest.raises(UserError, match=r"different lengths: \[132, 1662\]"):
        dataset.read(tmp_path / "2")
    np.save(folder / "2.npy", np.zeros((30, SIZE)))
    with pytest.raises(UserError, match="mixes files of one frame with files of whole sequences"):
        dataset.read(tmp_path / "2")


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".csv", ".pose", ".parquet"])
@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00", b"PK\x03\x04 cut", b"class,\xff\n", b"\0" * 1000])
def test_a_damaged_file_is_named(tmp_path: Path, suffix: str, content: bytes):
    path = tmp_path / "wave" / f"bad{suffix}"
    path.parent.mkdir()
    path.write_bytes(content)
    for what in (tmp_path, path):
        with pytest.raises(UserError, match="bad"):
            dataset.read(what)


@pytest.mark.parametrize(
    "change",
    [
        {"y": np.array([0, 2])},
        {"y": np.array([0, -1])},
        {"y": np.array([0.5, 1])},
        {"y": np.array([0])},
        {"y": np.array([{}, {}], object)},
        {"X": np.zeros((2, 132))},
        {"X": np.full((2, 5, 132), np.inf)},
        {"X": np.zeros((2, 5, 131))},
        {"actions": np.array("curl")},
        {"actions": np.array(["curl", ""])},
    ],
)
def test_arrays_that_do_not_fit_are_named(tmp_path: Path, change: dict[str, np.ndarray]):
    path = tmp_path / "all.npz"
    good = {"X": rows(10, 132).reshape(2, 5, 132), "y": np.array([0, 1]), "actions": np.array(["curl", "press"])}
    np.savez(path, **{**good, **change})
    with pytest.raises(UserError, match=r"all\.npz"):
        dataset.read(path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["wave", 1, 0, *[0] * 131, "one"], "line 3 .* 'one'"),
        (["wave", 0, 0, *[0] * 131], "line 3 .* 134 columns"),
        (["wave", "fast", 0, *[0] * 132], "line 3 .* 'fast'"),
        (["wave", 1, "now", *[0] * 132], "line 3 .* 'now'"),
        (["wave", 0, 1, *[0] * 132], "line 3 .* 0.0 frames/s"),
        (["wave", 1, -(10**30), *[0] * 132], "64 bits"),
        (["wave", 1, 0, *[0] * 131, "inf"], "not finite in frame 1"),
        (["", 1, 0, *[0] * 132], "no label"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path: Path, line: list[object], said: str):
    header = ["class", "fps", "captured_ns", *map(str, range(132))]
    path = spreadsheet(tmp_path / "a.csv", header, [["wave", 1, -1, *[0] * 132], line])
    with pytest.raises(UserError, match=rf"a\.csv.*{said}"):
        dataset.read(path)


def test_columns_in_another_order_are_not_guessed(tmp_path: Path):
    path = spreadsheet(tmp_path / "a.csv", ["x1", "class"], [])
    with pytest.raises(UserError, match=f"neither class,x1,... nor {','.join(table.COLUMNS)}"):
        dataset.read(path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "line 1 is damaged"),
        (b'{"file": "wave/0"}', "line 1 is damaged"),
        (
            b'{"recorder":"anna","stream":"cam","fps":25.0,"captured_ns":[0,1,2],"file":"wave/0"}',
            "before release .* con",
        ),
        (
            json.dumps({"file": "wave/0", "subject": "", "stream": "", "fps": 25, "captured_ns": [0]}),
            "3 frames, .* says 1",
        ),
        (
            json.dumps({"file": "wave/0", "subject": "", "stream": "", "fps": 0, "captured_ns": [0, 1, 2]}),
            "line 1 is damaged",
        ),
        (
            json.dumps({"file": "wave/0", "subject": "", "stream": "", "fps": 9, "captured_ns": [0, 2, 1]}),
            "not increase",
        ),
    ],
)
def test_a_sidecar_that_is_wrong_is_named(tmp_path: Path, line: str | bytes, said: str):
    files(tmp_path / "wave" / "0", rows(3), ["0", "1", "2"])
    (tmp_path / SIDECAR).write_bytes(line if isinstance(line, bytes) else line.encode())
    with pytest.raises(UserError, match=said):
        dataset.read(tmp_path)


def test_no_data_is_no_data_set(tmp_path: Path):
    for nothing in (tmp_path / "nowhere", tmp_path / ("x" * 300)):
        with pytest.raises(UserError, match="There is no data set"):
            dataset.read(nothing)
    with pytest.raises(UserError, match="is not a data set"):
        dataset.read(tmp_path)
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(UserError, match="is not a data set"):
        dataset.read(tmp_path / "notes.txt")


def test_mixed_formats_are_not_guessed(tmp_path: Path):
    files(tmp_path / "wave" / "0", rows(2), ["0", "1"])
    spreadsheet(tmp_path / "a.csv", ["class", *map(str, range(132))], [["wave", *[0] * 132]])
    with pytest.raises(UserError, match=r"mixes formats, such as .*0\.npy and .*a\.csv"):
        dataset.read(tmp_path)


def test_the_notebooks_folder_is_read_as_it_is(shared: Path):
    sequences = dataset.read(shared / "mp_data_mit" / "MP_Data", 30.0)
    assert len(sequences) == 24
    assert {sequence.label for sequence in sequences} == {"hello", "iloveyou", "thanks"}
    assert {sequence.keypoints.shape for sequence in sequences} == {(30, SIZE)}
    examples = cut_windows(sequences, ["hello", "iloveyou", "thanks"], WindowSpec(length=30, fps=None), 1)
    assert (examples.windows == np.stack([sequence.keypoints for sequence in sequences])).all(), "and trained on"


def test_archives_of_strangers_are_read(shared: Path, tmp_path: Path):
    assert len(dataset.read(shared / "peer_models" / "six_exercises_pose132.npz")) == 180
    spec = importlib.util.spec_from_file_location("load", shared / "load.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    arrays, labels, _ = module.load(shared / "signers" / "recorder_00.xz")
    actions, y = np.unique(labels, return_inverse=True)
    np.savez(tmp_path / "signs.npz", X=arrays, y=y, actions=actions)
    read = dataset.read(tmp_path / "signs.npz")
    assert [sequence.label for sequence in read] == list(labels)
    assert (np.stack([sequence.keypoints for sequence in read]) == arrays).all()
