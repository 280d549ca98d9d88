"""Check the invariances of features, what they distinguish, and that live and training features are the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.keypoints.features import BODY, CLIP, RAW, Features, features, size
from common.keypoints.landmarks import PARTS, SHAPES, SIZE, SLICES
from models.training_data.augment import X, Y, mirror

WHOLE = Features(kind="body", parts=("pose", "face", "hands", "joint_angles"))
LENGTH = 8


def person(seed: int, n: int = 3) -> np.ndarray:
    """Windows of somebody who is seen in most frames, whose hands and face come and go."""
    rng = np.random.default_rng(seed)
    windows = rng.uniform(0.2, 0.8, (n, 1, SIZE)) + rng.normal(0, 0.02, (n, LENGTH, SIZE)).cumsum(axis=1)
    shoulders = SLICES["pose"].start + np.array([11, 12]) * SHAPES["pose"][1]
    windows[..., shoulders] = (0.65, 0.35)
    windows[..., shoulders + 1] = 0.6
    for part in PARTS:
        gone = rng.random((n, LENGTH)) < 0.3
        gone[:, rng.integers(LENGTH)] = False
        windows[..., SLICES[part]][gone] = 0
    return windows.astype(np.float32)


def placed(windows: np.ndarray, shift: tuple[float, float], zoom: float) -> np.ndarray:
    """The same person elsewhere in the image, and larger."""
    moved = windows * np.float32(zoom)
    moved[..., X] += np.float32(shift[0])
    moved[..., Y] += np.float32(shift[1])
    moved[windows == 0] = 0
    return moved


@settings(max_examples=25)
@given(st.integers(0, 999), st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)), st.floats(0.4, 2))
def test_body_features_do_not_depend_on_position_and_size_in_the_frame(seed, shift, zoom):
    windows = person(seed)
    moved = placed(windows, shift, zoom)
    assert features(moved, WHOLE) == pytest.approx(features(windows, WHOLE), abs=2e-3)


@settings(max_examples=25)
@given(st.integers(0, 999))
def test_the_other_hand_does_it_as_well(seed):
    windows = person(seed)
    assert features(mirror(windows), WHOLE) == pytest.approx(features(windows, WHOLE), abs=2e-3)


@settings(max_examples=25)
@given(st.integers(0, 999), st.sampled_from([BODY, WHOLE, RAW]))
def test_each_window_is_on_its_own(seed, options):
    windows = person(seed, 4)
    one_by_one = np.concatenate([features(window[None], options) for window in windows])
    assert features(windows, options) == pytest.approx(one_by_one, abs=1e-5)


@settings(max_examples=25)
@given(st.integers(0, 999), st.sets(st.sampled_from(PARTS)))
def test_parts_that_are_never_there_give_zeros_and_finite_numbers(seed, absent):
    windows = person(seed)
    for part in absent:
        windows[..., SLICES[part]] = 0
    found = features(windows, WHOLE)
    assert found.shape == (3, LENGTH, size(WHOLE))
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= CLIP
    if "pose" in absent:
        assert not features(windows, Features(kind="body", parts=("pose", "joint_angles"))).any()
    if absent & {"pose", "face"}:  # without shoulders a face has no reference
        assert not features(windows, Features(kind="body", parts=("face",))).any()
    if absent >= {"pose", "left_hand", "right_hand"}:
        assert not features(windows, Features(kind="body", parts=("hands",))).any()


@pytest.mark.parametrize("first_missed", [0, 3, LENGTH - 2])
def test_a_hand_that_is_missed_for_a_while_is_interpolated(first_missed):
    steady = np.repeat(person(0, 1)[:, -1:], LENGTH, axis=1)
    steady[..., SLICES["pose"]] = person(1, 1)[:, -1:, SLICES["pose"]]
    steady[..., SLICES["right_hand"]] = np.random.default_rng(0).uniform(0.4, 0.5, 63)
    missed = steady.copy()
    missed[:, first_missed : first_missed + 2, SLICES["right_hand"]] = 0
    whole, filled = features(steady, BODY), features(missed, BODY)
    differ = np.flatnonzero(np.abs(whole - filled).max(axis=(0, 1)) > 1e-4)
    assert len(differ) == 1  # the mask, which says that it was not seen
    assert not filled[0, first_missed : first_missed + 2, differ].any()


def test_joint_angles_are_cosines_of_how_far_the_body_is_bent_there():
    windows = np.zeros((1, 1, SIZE), np.float32)
    pose = windows[0, 0, SLICES["pose"]].reshape(SHAPES["pose"])
    heads = [(7, 0.9), (11, 0.8), (13, 0.7), (15, 0.6), (23, 0.5), (25, 0.4), (27, 0.3)]
    for point, x in heads:  # both sides lie straight, from head to feet
        pose[[point, point + 1], :2] = (x, 0.5)
    pose[16, :2] = pose[12, :2]  # but the right arm is folded
    joints = Features(kind="body", parts=("joint_angles",))
    straight, bent = np.split(features(windows, joints)[0, 0], 2)
    assert straight == pytest.approx([-1, 1, -1, -1, -1, -1], abs=1e-5)  # at the shoulder the arm lies along the body
    assert bent == pytest.approx([1, 1, -1, -1, -1, -1], abs=1e-5)
    with pytest.raises(ValueError, match="raw features have no joint angles"):
        Features(kind="raw", parts=("joint_angles",))


def test_raw_features_are_the_landmarks_of_the_chosen_parts():
    windows = person(0)
    assert features(windows, RAW) is windows
    hands = features(windows, Features(kind="raw", parts=("hands",)))
    assert np.array_equal(hands, windows[..., SLICES["left_hand"].start :])


def test_vectors_of_another_layout_are_refused():
    with pytest.raises(ValueError, match="1662"):
        features(np.zeros((1, LENGTH, 258), np.float32), BODY)
