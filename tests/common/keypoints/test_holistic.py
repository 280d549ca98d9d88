"""Check that the extracted landmarks are those that MediaPipe returns."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from mediapipe.framework.formats.landmark_pb2 import NormalizedLandmarkList  # noqa: TID251

from common.bus.messages import Message
from common.keypoints import holistic
from common.keypoints.landmarks import MIN_VISIBILITY, SHAPES, split
from common.keypoints.window import Windower
from common.video.testcard import TestCard
from tests import recording as stored

FRAMES = 90  # of the test card: a rest, and half a second of a nod


def test_a_landmark_list_becomes_the_same_numbers() -> None:
    rng = np.random.default_rng(0)
    for part, (count, values) in SHAPES.items():
        numbers = rng.normal(size=(count, values)).astype(np.float32)
        numbers[0] = 0  # a zero that is set is sent
        points = NormalizedLandmarkList()
        for row in numbers.tolist():
            extra = {"visibility": row[3], "presence": 0.5} if values == 4 else {}
            points.landmark.add(x=row[0], y=row[1], z=row[2], **extra)
        assert (holistic._array(points, part) == numbers).all()


def test_face_and_pose_of_the_test_card_lie_where_the_person_is() -> None:
    graph = holistic.Holistic()
    found = graph(TestCard(0).frame(0.0), 0)
    graph.close()
    assert set(found.detected_parts) >= {"pose", "face"}
    face = found.vector[132 : 132 + 468 * 3].reshape(468, 3)
    nose = found.vector[:2]
    assert (face[:, :2].min(axis=0) < nose).all()
    assert (nose < face[:, :2].max(axis=0)).all()
    assert found.person_size_px > 100


def test_the_landmarks_of_the_test_card_are_those_recorded(
    recording: list[Message], request: pytest.FixtureRequest
) -> None:
    """Other processors find the face to a pixel or two; of the pose, most of which is out of view, the most of it."""
    if request.config.getoption("--update-golden"):
        stored.store(list(stored.find(stored.FRAMES)))
    found = stored.keypoints(list(stored.find(FRAMES)))[:-1]
    now, then = (split(np.stack([vector for _, vector in messages[:FRAMES]])) for messages in (found, recording))
    apart = {part: np.linalg.norm((now[part] - then[part])[..., :2] * (640, 480), axis=-1) for part in ("pose", "face")}
    assert [header.detected_parts for header, _ in found] == [header.detected_parts for header, _ in recording[:FRAMES]]
    assert apart["face"].mean(axis=1).max() < 4
    assert np.median(apart["pose"][then["pose"][..., 3] > MIN_VISIBILITY]) < 5


def test_a_logo_is_not_a_person(shared: Path) -> None:
    graph, windower = holistic.Holistic(), Windower(30, 25.0, legs_confirm=True)
    video, poses, present = cv2.VideoCapture(str(shared / "clips/nobody.mp4")), 0, []
    for place in range(95):
        found = graph(video.read()[1], place * 33_333_333)
        poses += "pose" in found.detected_parts
        window = windower.push(place * 33_333_333, found.vector)
        present.append(window.person_ratio if window else 0.0)
    graph.close()
    assert poses > 30  # false positives of MediaPipe
    assert max(present) == 0


def test_a_distant_person_is_detected_for_a_model_of_the_whole_body(shared: Path) -> None:
    """In this clip neither a face nor a hand is ever found."""
    graph, video = holistic.Holistic(), cv2.VideoCapture(str(shared / "clips/push_up/right/20.mp4"))
    windowers = Windower(30, 25.0), Windower(30, 25.0, legs_confirm=True)
    present: list[list[float]] = [[], []]
    for place in range(40):
        vector = graph(video.read()[1], place * 40_000_000).vector
        for windower, shares in zip(windowers, present, strict=True):
            window = windower.push(place * 40_000_000, vector)
            shares += [window.person_ratio] if window and window.filled == 30 else []
    graph.close()
    assert (max(present[0]), min(present[1])) == (0, 1)


def test_a_graph_after_reset_equals_a_new_one(shared: Path) -> None:
    """Of videos one after another every number is the same, wherever their time begins."""
    clips = [shared / "clips" / name for name in ("push_up/wrong/00.mp4", "asl/come.mp4", "signer_mit.mp4")]
    reused = holistic.Holistic()
    for clip in [*clips, clips[0]]:
        new, video = holistic.Holistic(), cv2.VideoCapture(str(clip))
        for place in range(8):
            image, captured_ns = video.read()[1], place * 40_000_000
            expected, found = new(image, 10**15 + captured_ns), reused(image, captured_ns)
            np.testing.assert_array_equal(found.vector, expected.vector)
            assert found[1:] == expected[1:]
        new.close()
        reused.reset()
    reused.close()
