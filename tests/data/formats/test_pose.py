"""The pose-format library reads our files, and we read its files, by the names of the points."""

import logging
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pose_format import Pose
from pose_format.numpy import NumPyPoseBody
from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

from common.errors import UserError
from common.keypoints.landmarks import SIZE, split
from common.recording.sequence import KeypointSequence
from data import dataset
from data.formats import pose

RNG = np.random.default_rng(0)


def others(path: Path, names: dict[str, list[str]], people: int = 1, width: int = 640, axes: str = "XYZC") -> Pose:
    """A file of 4 frames of 640 x 480 with random pixels, and no confidence in anything in frame 2."""
    components = [PoseHeaderComponent(name, points, [], [], axes) for name, points in names.items()]
    shape = (4, people, sum(map(len, names.values())))
    confidence = RNG.uniform(0.1, 1, shape).astype(np.float32)
    confidence[2] = 0
    data = RNG.random((*shape, len(axes) - 1), np.float32) * 400
    made = Pose(PoseHeader(0.2, PoseHeaderDimensions(width, 480), components), NumPyPoseBody(24, data, confidence))
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        made.write(file)
    return made


def test_the_points_have_mediapipes_names():
    from common.keypoints.holistic import holistic  # which imports MediaPipe without tensorflow

    assert list(pose.POINTS["pose"]) == holistic.PoseLandmark._member_names_
    assert list(pose.POINTS["left_hand"]) == holistic.HandLandmark._member_names_


def test_the_library_reads_what_we_write(tmp_path: Path):
    keypoints = RNG.random((3, SIZE), np.float32)
    split(keypoints)["left_hand"][1] = 0
    pose.write(tmp_path, [KeypointSequence("wave", keypoints, np.arange(3), "anna", "cam", 30.0)])
    read = Pose.read((tmp_path / "wave" / "0.pose").read_bytes())
    assert [component.name for component in read.header.components] == list(pose.COMPONENTS)
    assert (read.body.fps, read.body.data.shape) == (30, (3, 1, 543, 3))
    hand = read.get_components(["LEFT_HAND_LANDMARKS"]).body
    assert hand.data.mask[1].all() and not hand.data.mask[[0, 2]].any(), "what was not seen is masked"
    nose = read.body.data[0, 0, read.header.get_point_index("POSE_LANDMARKS", "NOSE")]
    assert np.allclose(nose, keypoints[0, :3] * [1024, 1024, 1])
    read.write(BytesIO())


def test_points_are_placed_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    names = {
        "POSE_LANDMARKS": ["LEFT_WRIST", "NOSE"],
        "FACE_LANDMARKS": ["7", "466", "470"],
        "RIGHT_HAND_LANDMARKS": list(pose.POINTS["right_hand"]),
        "POSE_WORLD_LANDMARKS": list(pose.POINTS["pose"]),
    }
    made = others(tmp_path / "wave" / "a.pose", names)
    with caplog.at_level(logging.WARNING):
        (read,) = dataset.read(tmp_path)
    data, parts = made.body.data.data[:, 0] / [640, 480, 1], split(read.keypoints)
    assert (read.label, read.fps, read.captured_ns[1]) == ("wave", 24, 41_666_667)
    assert np.allclose(parts["pose"][[0, 1, 3]][:, [15, 0], :3], data[[0, 1, 3], :2])
    assert np.allclose(parts["pose"][:, [15, 0], 3], made.body.confidence[:, 0, :2])
    assert np.allclose(parts["face"][0, [7, 466]], data[0, 2:4])
    assert np.allclose(parts["right_hand"][0], data[0, 5:26])
    assert not read.keypoints[2].any(), "no confidence is not seen"
    assert np.count_nonzero(parts["face"]) == 2 * 3 * 3 and not parts["left_hand"].any()
    assert "POSE_WORLD_LANDMARKS is ignored" in caplog.text
    assert "FACE_LANDMARKS has 2 of 468 points" in caplog.text


def test_two_axes_and_several_people(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    made = others(tmp_path / "wave.pose", {"POSE_LANDMARKS": list(pose.POINTS["pose"])}, people=2, axes="XYC")
    (read,) = dataset.read(tmp_path / "wave.pose")
    points = split(read.keypoints)["pose"]
    assert np.allclose(points[0, :, :2], made.body.data.data[0, 0] / [640, 480])
    assert not points[..., 2].any()
    assert "of several people only the first is read" in caplog.text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"names": {"BODY_25": ["Nose"]}}, "no landmarks of MediaPipe"),
        ({"people": 0}, "nobody"),
        ({"width": 0}, "size of its frames"),
    ],
)
def test_what_is_not_holistic_is_named(tmp_path: Path, changes: dict, said: str):
    others(tmp_path / "bad.pose", **{"names": {"POSE_LANDMARKS": ["NOSE"]}, **changes})
    with pytest.raises(UserError, match=rf"bad\.pose .*{said}"):
        dataset.read(tmp_path / "bad.pose")


def test_a_cut_file_is_named(tmp_path: Path):
    path = tmp_path / "bad.pose"
    others(path, {"POSE_LANDMARKS": ["NOSE"]})
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"bad\.pose"):
            dataset.read(path)


def test_a_clip_of_the_sign_language_projects(shared: Path, caplog: pytest.LogCaptureFixture):
    (read,) = dataset.read(shared / "clips" / "signer_mit.pose")
    parts = split(read.keypoints)
    assert (read.label, read.keypoints.shape, read.fps) == ("signer_mit", (170, SIZE), 24)
    assert [int(np.any(parts[part], axis=(0, 2)).sum()) for part in parts] == [8, 128, 0, 21]
    assert int(parts["right_hand"].any(axis=(1, 2)).sum()) == 145
    assert "FACE_LANDMARKS has 128 of 468 points" in caplog.text
