"""Folders as other people leave them are read as they mean them, or refused in one sentence."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pose_format import Pose
from pose_format.numpy import NumPyPoseBody
from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

from common.errors import UserError
from common.keypoints.landmarks import PARTS, SHAPES, SIZE, split
from common.recording import sequence as sequences
from common.recording.sequence import KeypointSequence
from data import convert, dataset
from data.extraction.videos import find_videos
from data.formats import pose
from data.formats.shared import SIDECAR
from tests.common.test_lfs import POINTER
from tests.data.extraction.test_videos import touched

RNG = np.random.default_rng(0)


# --- NaN is what was not seen


def with_nan() -> np.ndarray:
    """(3, 1662) of a person whose left hand is never seen, the nose not in frame 1, and nothing at all in frame 2."""
    keypoints = RNG.uniform(0.1, 0.9, (3, SIZE)).astype(np.float32)
    parts = split(keypoints)
    parts["left_hand"][:] = np.nan
    parts["pose"][1, 0, :2] = np.nan
    keypoints[2] = np.nan
    return keypoints


def as_frames(folder: Path, keypoints: np.ndarray) -> None:
    for number, row in enumerate(keypoints):
        np.save(folder / f"{number}.npy", row)


def as_archive(folder: Path, keypoints: np.ndarray) -> None:
    np.savez(folder / "all.npz", X=keypoints[None], y=np.array([0]), actions=np.array(["wave"]))


def as_table(folder: Path, keypoints: np.ndarray) -> None:
    lines = [",".join(["wave", *("" if np.isnan(one) else str(one) for one in row)]) for row in keypoints]
    (folder / "a.csv").write_text("\n".join([",".join(["class", *map(str, range(SIZE))]), *lines]))


def as_pose(folder: Path, keypoints: np.ndarray) -> None:
    """With a confidence of 1 in what is NaN, as people's own converters write it."""
    components = [PoseHeaderComponent(name, list(pose.POINTS[part]), [], [], "XYZC") for name, part in
                  pose.COMPONENTS.items()]  # fmt: skip
    parts = split(keypoints)
    data = np.concatenate([parts[part][..., :3] for part in PARTS], axis=1)[:, None]
    confidence = np.concatenate([np.ones((3, 1, SHAPES[part][0]), np.float32) for part in PARTS], axis=2)
    confidence[:, 0, :33] = np.nan_to_num(parts["pose"][..., 3], nan=1)
    with (folder / "a.pose").open("wb") as file:
        Pose(PoseHeader(0.2, PoseHeaderDimensions(1, 1), components), NumPyPoseBody(25, data, confidence)).write(file)


def as_parquet(folder: Path, keypoints: np.ndarray) -> None:
    parts, rows = split(keypoints), []
    for frame in range(3):
        for part in PARTS:
            for index, point in enumerate(parts[part][frame]):
                rows.append((frame, part, index, *point[:3], point[3] if part == "pose" else np.nan))
    columns = zip(
        ("frame", "type", "landmark_index", "x", "y", "z", "visibility"), zip(*rows, strict=True), strict=True
    )
    pq.write_table(
        pa.table({name: pa.array(values, from_pandas=True) for name, values in columns}), folder / "a.parquet"
    )


def as_sequence(folder: Path, keypoints: np.ndarray) -> None:
    np.save(folder / "a.npy", keypoints.astype(np.float64))


@pytest.mark.parametrize("write", [as_frames, as_sequence, as_archive, as_table, as_pose, as_parquet])
def test_nan_is_not_seen_in_every_format(tmp_path: Path, write: Callable[[Path, np.ndarray], None]) -> None:
    keypoints = with_nan()
    folder = tmp_path / "wave" / "0" if write is as_frames else tmp_path / "wave"
    folder.mkdir(parents=True)
    write(folder, keypoints)
    (read,) = dataset.read(tmp_path)
    parts, expected = split(read.keypoints), split(np.nan_to_num(keypoints, nan=0.0))
    expected["pose"][1, 0] = 0  # with its visibility: it is not there
    for part in PARTS:
        np.testing.assert_allclose(parts[part], expected[part], rtol=1e-6, err_msg=part)
    assert not parts["left_hand"].any() and not read.keypoints[2].any()


def test_the_given_poses_lack_the_hands_that_were_not_seen(shared: Path) -> None:
    sequences = dataset.read(shared / "cases" / "nan_poses")
    assert [len(sequence.keypoints) for sequence in sequences] == [44, 111]
    unseen = [
        [int((~split(one.keypoints)[part].any(axis=(1, 2))).sum()) for part in ("left_hand", "right_hand")]
        for one in sequences
    ]
    assert unseen == [[38, 33], [100, 66]]


# --- archives of other arrays


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"pose": np.zeros((5, 33, 4)), "lh": np.zeros((5, 21, 3))}, r"holds pose \(5, 33, 4\), lh \(5, 21, 3\), and"),
        ({"X_train": np.zeros((2, 3, 4)), "y_train": np.zeros(2)}, r"holds X_train \(2, 3, 4\), y_train \(2,\), and"),
        ({"arr_0": np.array([{}], object)}, "holds arr_0 of pickled objects, and"),
        ({f"a{number}": np.zeros(1) for number in range(20)}, r"holds a0 \(1,\), .*a7 \(1,\) and 12 more, and"),
        ({}, "holds nothing, and"),
    ],
)
def test_an_archive_of_other_arrays_is_refused_with_what_it_holds(
    tmp_path: Path, arrays: dict[str, np.ndarray], said: str
) -> None:
    np.savez(tmp_path / "all.npz", **arrays)
    with pytest.raises(UserError, match=rf"all\.npz {said} .*nor X \(sequences.*258 \(pose \+ left hand"):
        dataset.read(tmp_path)


def test_the_given_archive_is_refused_with_what_it_holds(shared: Path) -> None:
    with pytest.raises(UserError, match=r"holds pose \(95, 33, 4\), lh \(95, 21, 3\), rh .*video_info \(3,\)"):
        dataset.read(shared / "cases" / "named_arrays.npz")


# --- Git LFS


@pytest.mark.parametrize("name", ["a.h5", "a.mp4", "a"])
def test_a_pointer_of_any_name_is_refused_as_such(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(POINTER)
    with pytest.raises(UserError, match=rf"{name} is a Git LFS pointer"):
        dataset.read(tmp_path / name)


@pytest.mark.parametrize("suffix", sorted(dataset.READERS))
def test_a_pointer_in_a_data_set_is_refused_as_such(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "wave" / f"a{suffix}"
    path.parent.mkdir()
    path.write_text(POINTER)
    for what in (tmp_path, path):
        with pytest.raises(UserError, match=rf"a\{suffix} is a Git LFS pointer.*git lfs pull"):
            dataset.read(what)


def test_a_pointer_in_a_data_set_of_this_project_is_refused_as_such(tmp_path: Path) -> None:
    (tmp_path / "wave").mkdir()
    (tmp_path / "wave" / "anna-000.npz").write_text(POINTER)
    (tmp_path / "manifest.jsonl").touch()
    with pytest.raises(UserError, match=r"anna-000\.npz is a Git LFS pointer"):
        dataset.read_named(tmp_path, 25.0)
    (tmp_path / "manifest.jsonl").write_text(POINTER)
    with pytest.raises(UserError, match="is a Git LFS pointer"):
        dataset.read(tmp_path)


# --- the folder of a project in place of its data set


def project(folder: Path, inner: str, labels: tuple[str, ...] = ("hello", "thanks")) -> Path:
    for label in labels:
        (folder / inner / label / "0").mkdir(parents=True)
        for number in range(2):
            np.save(folder / inner / label / "0" / f"{number}.npy", RNG.random(SIZE))
    (folder / "README.md").write_text("a project")
    return folder


@pytest.mark.parametrize("inner", ["MP_Data", "Data", "dataset", "Key points"])
def test_a_projects_folder_asks_for_its_data_set(tmp_path: Path, inner: str) -> None:
    folder = project(tmp_path / "project", inner)
    with pytest.raises(UserError, match=rf"verdicts \(hello, thanks\) of one action.*name .*/project/{inner} if that"):
        dataset.read(folder)
    assert {sequence.label for sequence in dataset.read(folder / inner)} == {"hello", "thanks"}
    (folder / SIDECAR).touch()
    assert {sequence.label for sequence in dataset.read(folder)} == {f"{inner}/hello", f"{inner}/thanks"}


@pytest.mark.parametrize("beside", ["MP_Data/thanks", "MP_Data_old/hello", "rest", "rest/right", "squat/right"])
def test_a_projects_folder_asks_for_its_data_set_whatever_lies_beside(tmp_path: Path, beside: str) -> None:
    touched(tmp_path, *(f"MP_Data/{label}/0.mp4" for label in ("hello", "thanks")), f"{beside}/0.mp4")
    with pytest.raises(
        UserError, match=rf"verdicts \(hello, thanks\) of one action, MP_Data: name {tmp_path}/MP_Data if"
    ):
        find_videos(tmp_path)


@pytest.mark.parametrize("firsts", [("train", "test"), ("training", "validation"), ("anna", "bob"), ("2023", "2024")])
def test_parts_of_a_data_set_are_no_actions(tmp_path: Path, firsts: tuple[str, str]) -> None:
    for first in firsts:
        project(tmp_path, first)
        touched(tmp_path / "videos", f"{first}/hello/0.mp4", f"{first}/thanks/0.mp4")
    one, other = sorted(firsts)
    for folder, read in ((tmp_path / "videos", find_videos), (tmp_path, dataset.read)):
        with pytest.raises(UserError, match=rf"of one action, {one}: name {folder / one} or {folder / other} if"):
            read(folder)
    touched(tmp_path / "uneven", "train/hello/0.mp4", "train/thanks/0.mp4", "Test/hello/0.mp4")
    with pytest.raises(UserError, match=r"uneven/Test or .*uneven/train if"):
        find_videos(tmp_path / "uneven")
    touched(
        tmp_path / "splits", *(f"{split}/{verdict}/0.mp4" for split in ("dev", "val") for verdict in ("right", "wrong"))
    )
    with pytest.raises(UserError, match=r"splits/dev or .*splits/val if"):
        find_videos(tmp_path / "splits")


@pytest.mark.parametrize("seconds", [("right", "wrong"), ("good", "bad"), ("Correct form", "incorrect_form")])
@pytest.mark.parametrize("firsts", [("push up",), ("push up", "squat"), ("big data", "rest")])
def test_right_and_wrong_are_verdicts(tmp_path: Path, firsts: tuple[str, ...], seconds: tuple[str, ...]) -> None:
    for first in firsts:
        project(tmp_path, first, seconds)
    expected = {f"{first}/{second}" for first in firsts for second in seconds}
    assert {sequence.label for sequence in dataset.read(tmp_path)} == expected


def test_verdicts_of_their_own_are_left_to_each_action(tmp_path: Path) -> None:
    touched(tmp_path, "push up/elbows out/0.mp4", "push up/right/0.mp4", "squat/too high/0.mp4", "train/0.mp4")
    assert len(find_videos(tmp_path)) == 4


def test_what_a_conversion_wrote_is_not_asked_about(tmp_path: Path) -> None:
    folder = project(tmp_path / "in", "push up", ("good", "bad"))
    (folder / SIDECAR).touch()
    for target_format in ("native", "mp_data", "npy", "pose", "parquet"):
        convert.convert(folder, tmp_path / target_format, target_format, 25.0)
        assert len(dataset.read(tmp_path / target_format)) == 2


def test_a_data_set_deeper_down_is_named(tmp_path: Path) -> None:
    folder = project(tmp_path, "src/data/MP_Data")
    with pytest.raises(UserError, match=r"folder of a label .*, or name .*/src/data/MP_Data\."):
        dataset.read(folder)


def test_what_lies_beside_the_data_set_does_not_hide_it(tmp_path: Path) -> None:
    folder = project(tmp_path, "MP_Data")
    np.save(folder / "0.npy", np.zeros(SIZE))  # as the notebook itself does
    with pytest.raises(UserError, match=r"folder of a label .*, or name .*/MP_Data\."):
        dataset.read(folder)
    (folder / "results.csv").write_text("epoch,loss\n")
    with pytest.raises(UserError, match=r"mixes formats.*, or name .*/MP_Data\."):
        dataset.read(folder)


def test_hidden_files_are_no_data(tmp_path: Path) -> None:
    folder = project(tmp_path, "MP_Data") / "MP_Data"
    (folder / "hello" / "0" / "._0.npy").write_bytes(b"\0\5\x16\7 of a Mac")
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "a.csv").write_text("x")
    assert len(dataset.read(folder)) == 2


def test_the_given_project_asks_for_mp_data(shared: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(UserError, match=r"name .*/mp_data_mit/MP_Data if that"):
        dataset.read(shared / "mp_data_mit")
    assert not caplog.text


# --- damage


def as_native(folder: Path, keypoints: np.ndarray) -> None:
    whole = KeypointSequence("wave", np.nan_to_num(keypoints, nan=0.0), np.arange(3), "anna", "cam", 25.0)
    (folder / "a.npz").write_bytes(sequences.pack(whole))


@pytest.mark.filterwarnings("ignore")  # NumPy's, of headers that Python 2 may have written
@pytest.mark.parametrize("write", [as_native, as_archive, as_sequence])
def test_damage_anywhere_is_one_sentence(tmp_path: Path, write: Callable[[Path, np.ndarray], None]) -> None:
    (tmp_path / "wave").mkdir()
    write(tmp_path / "wave", with_nan())
    (path,) = (tmp_path / "wave").iterdir()
    whole, refused = path.read_bytes(), 0
    for _ in range(500):
        damaged = np.frombuffer(whole, np.uint8).copy()
        ends = [*range(min(200, len(whole))), *range(len(whole) - 300, len(whole)), *RNG.integers(len(whole), size=500)]
        damaged[RNG.choice(ends, 4)] = RNG.integers(256, size=4)
        path.write_bytes(damaged.tobytes())
        try:
            dataset.read(path)
        except UserError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("name", ["X", "y", "actions"])
def test_python_objects_are_refused_in_our_words(tmp_path: Path, name: str) -> None:
    arrays = {"X": np.zeros((1, 3, 132)), "y": np.array([0]), "actions": np.array(["wave"])}
    np.savez(tmp_path / "all.npz", **{**arrays, name: arrays[name].astype(object)})
    np.save(tmp_path / "all.npy", arrays[name].astype(object))
    for path in (tmp_path / "all.npz", tmp_path / "all.npy"):
        with pytest.raises(UserError, match="of Python objects, which are not opened") as said:
            dataset.read(path)
        assert "allow_pickle" not in str(said.value)
