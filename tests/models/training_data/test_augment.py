"""Augmentation: seeded, of the same shape, and absent stays absent; the mirror has every landmark's opposite."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.keypoints.landmarks import CONNECTIONS, PARTS, SIZE, SLICES, split
from common.keypoints.window import parts_detected
from models.training_data import augment
from models.training_data.augment import MIRROR_INDEX, X, Y

TRANSFORMS = (
    augment.shift_zoom,
    augment.time_warp,
    augment.camera_affine,
    augment.switch_hands,
    augment.reshape_hands,
    augment.jitter,
    augment.hand_dropout,
)


def windows_of(seed: int, n: int = 2, length: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    windows = rng.uniform(0.2, 0.8, (n, length, SIZE)).astype(np.float32)
    for part in PARTS:
        windows[..., SLICES[part]][rng.random((n, length)) < 0.3] = 0
    return windows


@pytest.mark.parametrize("transform", [*TRANSFORMS, augment.augment_motion, augment.augment_camera])
@given(seed=st.integers(0, 999))
@settings(max_examples=10)
def test_an_augmentation_is_seeded_and_leaves_its_input(transform, seed):
    windows = windows_of(seed)
    before = windows.copy()
    changed = transform(windows, np.random.default_rng(seed))
    assert np.array_equal(windows, before)
    assert np.array_equal(changed, transform(windows, np.random.default_rng(seed)))
    assert (changed.shape, changed.dtype) == (windows.shape, np.float32)
    assert np.isfinite(changed).all()
    assert np.abs(changed).max() < 10


@pytest.mark.parametrize("transform", TRANSFORMS)
@given(seed=st.integers(0, 999))
@settings(max_examples=10)
def test_no_part_appears_and_only_hands_are_dropped(transform, seed):
    windows = windows_of(seed)
    before, after = parts_detected(windows), parts_detected(transform(windows, np.random.default_rng(seed)))
    if transform is augment.time_warp:  # frames change places, so all that can be said is of whole windows
        assert (after.any(axis=1) <= before.any(axis=1)).all()
    elif transform is augment.switch_hands:
        assert np.array_equal(after[..., :2], before[..., :2])
        assert np.array_equal(after.sum(axis=-1), before.sum(axis=-1))
    elif transform is augment.hand_dropout:
        assert (after <= before).all()
        assert np.array_equal(after[..., :2], before[..., :2])
    else:
        assert np.array_equal(after, before)


@given(seed=st.integers(0, 999))
@settings(max_examples=10)
def test_a_mirror_twice_is_none(seed):
    windows = windows_of(seed)
    assert augment.mirror(augment.mirror(windows)) == pytest.approx(windows, abs=1e-6)


def test_the_mirror_maps_every_landmark_to_its_opposite():
    assert np.array_equal(MIRROR_INDEX[MIRROR_INDEX], np.arange(SIZE))
    opposites = split(MIRROR_INDEX.astype(np.float32))
    numbers = split(np.arange(SIZE, dtype=np.float32))
    assert np.array_equal(opposites["left_hand"], numbers["right_hand"])
    for part in ("pose", "face"):  # lines that join landmarks join their opposites too
        first, values = int(numbers[part][0, 0]), numbers[part].shape[1]
        point = (opposites[part][:, 0].astype(int) - first) // values
        lines = {frozenset(line) for line in CONNECTIONS[part].tolist()}
        assert {frozenset(point[list(line)].tolist()) for line in lines} == lines


def test_people_look_like_their_mirror_image(shared):
    import sys

    sys.path.insert(0, str(shared))
    from load import load

    vectors = load(shared / "signers" / "recorder_16.xz")[0].reshape(-1, SIZE)
    faces = vectors[parts_detected(vectors)[:, PARTS.index("face")]]
    face, mirrored = (split(each.mean(axis=0))["face"][:, :2] for each in (faces, augment.mirror(faces[None])[0]))
    face, mirrored = face - face.mean(axis=0), mirrored - mirrored.mean(axis=0)
    assert np.abs(face - mirrored).max() < 0.1 * np.ptp(face)


def test_somebody_who_switches_hands_stays_where_they_are():
    windows = np.full((40, 6, SIZE), 0.3, np.float32)
    windows[..., augment.SHOULDERS] = (0.4, 0.2)
    switched = augment.switch_hands(windows, np.random.default_rng(0))
    assert switched[..., augment.SHOULDERS].mean(axis=-1) == pytest.approx(0.3)
    assert 0 < (switched[:, -1] != windows[:, -1]).any(axis=-1).sum() < 20


def test_motion_augmentation_keeps_places_and_camera_augmentation_keeps_time():
    """The first moves no landmark to a new place, the second keeps every frame once."""
    windows = np.full((20, 6, SIZE), 0.5, np.float32)
    rng = np.random.default_rng(0)
    assert augment.augment_motion(windows, rng) == pytest.approx(windows)
    windows[:, 3] = 0  # one frame is without a person
    transformed = augment.augment_camera(windows, rng)
    assert np.array_equal(parts_detected(transformed)[..., :2], parts_detected(windows)[..., :2])
    assert not np.isclose(transformed[:, 0], windows[:, 0]).all(axis=-1).any()


def test_still_windows_stay_still_when_time_is_warped():
    windows = np.repeat(windows_of(0)[:, :1], 6, axis=1)
    assert augment.time_warp(windows, np.random.default_rng(0)) == pytest.approx(windows)


def test_a_camera_transform_keeps_the_middle_of_the_frame():
    windows = np.full((50, 2, SIZE), 0.5, np.float32)
    transformed = augment.camera_affine(windows, np.random.default_rng(0))
    assert transformed[..., X] == pytest.approx(0.5)
    assert transformed[..., Y] == pytest.approx(0.5)
