"""Transitions between idleness and actions, and synthetic idle windows for subjects who recorded none."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from common.keypoints.landmarks import PARTS, SIZE, SLICES
from common.keypoints.window import parts_detected
from common.recording.sequence import KeypointSequence
from models.training_data.transitions import interpolate, synthetic_idle, transition_windows
from tests.models.people import person, sequence


def vectors_of(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Vectors (*shape, 1662) of people of whom some parts are absent."""
    vectors = rng.uniform(0.2, 0.8, (*shape, SIZE)).astype(np.float32)
    for part in PARTS:
        vectors[..., SLICES[part]][rng.random(shape) < 0.3] = 0
    return vectors


def resting(label: str, frames: int = 30, **other: object) -> KeypointSequence:
    """A sequence that begins and ends with hands down."""
    down = frames // 3
    performed = ["idle"] * down + ["wave"] * (frames - 2 * down) + ["idle"] * down
    return sequence(label, frames=frames, **other)._replace(keypoints=person(performed))


@given(seed=st.integers(0, 9999), frames=st.integers(1, 25))
@settings(max_examples=20)
def test_interpolated_frames_lie_between_their_ends_and_no_part_fades(seed: int, frames: int):
    one, other = vectors_of(np.random.default_rng(seed), 2, 3)
    between = interpolate(one, other, frames)
    assert (between.shape, between.dtype) == ((3, frames, SIZE), np.float32)
    low, high = np.minimum(one, other)[:, None] - 1e-6, np.maximum(one, other)[:, None] + 1e-6
    assert ((low <= between) & (between <= high)).all()
    parts, ends = parts_detected(between), np.stack([parts_detected(one), parts_detected(other)], axis=1)
    assert (parts[:, : frames // 2] == ends[:, :1]).all() and (parts[:, (frames + 1) // 2 :] == ends[:, 1:]).all()
    for place, part in enumerate(PARTS):  # half way between a hand and no hand there is no half hand
        for row in np.flatnonzero(ends[:, 0, place] != ends[:, 1, place]):
            values = between[row, :, SLICES[part]]
            whole = np.maximum(one, other)[row, SLICES[part]]
            assert all(np.array_equal(frame, whole) or not frame.any() for frame in values)


@given(seed=st.integers(0, 9999), length=st.integers(2, 40))
@settings(max_examples=30)
def test_the_action_fraction_rises_with_the_action_in_a_transition(seed: int, length: int):
    rng = np.random.default_rng(seed)
    n = 6
    windows, idle = np.full((2, n, length, SIZE), 0.5, np.float32)
    windows[..., 0], idle[..., 0] = 1, 0  # what lies between is interpolated
    found = transition_windows(windows, idle, rng)
    assert (found.windows.shape, found.windows.dtype) == (windows.shape, np.float32)
    assert (
        found.action_fraction.dtype == np.float32
        and ((found.action_fraction >= 0) & (found.action_fraction <= 1)).all()
    )
    action = (found.windows[..., 0] == 1).mean(axis=1)
    assert (action < 1).all(), "idleness, or the way to it, is in view"
    assert (np.diff(found.action_fraction[np.argsort(action, kind="stable")]) >= 0).all(), (
        "more of an action is no less of it"
    )
    assert not found.action_fraction[action == 0].any()
    steps = np.diff(found.windows[..., 0], axis=1)
    assert ((steps >= 0).all(axis=1) | (steps <= 0).all(axis=1)).all(), "it begins or ends, once"


@given(seed=st.integers(0, 9999))
@settings(max_examples=20)
def test_transitions_are_seeded_finite_and_add_no_absent_part(seed: int):
    rng = np.random.default_rng(seed)
    windows, idle = vectors_of(rng, 2, 4, 8)
    for part in PARTS[2:]:
        windows[0, :, SLICES[part]] = idle[0, :, SLICES[part]] = 0
    before = windows.copy(), idle.copy()
    found, same = (transition_windows(windows, idle, np.random.default_rng(seed)) for _ in range(2))
    assert np.array_equal(found.windows, same.windows) and np.array_equal(found.action_fraction, same.action_fraction)
    assert np.array_equal(windows, before[0]) and np.array_equal(idle, before[1])
    assert np.isfinite(found.windows).all()
    assert not parts_detected(found.windows[0])[:, 2:].any()


def test_a_subject_without_idle_recordings_gets_windows_of_frames_without_hands():
    sequences = [resting("wave"), resting("nod"), resting("nod", subject="bert"), resting("idle", subject="bert")]
    found = synthetic_idle(sequences, ["idle"], length=9, target=7, seed=0)
    assert set(found.subjects) == {"anna"} and set(found.targets) == {7}
    assert set(found.sequences) <= {0, 1}, "each is known by the sequence it is from"
    assert found.windows.shape == (len(found.targets), 9, SIZE)
    assert not parts_detected(found.windows)[..., PARTS.index("left_hand") :].any()
    assert 0 < np.ptp(found.windows, axis=1).max() < 0.1, "they are jittered"
    again = synthetic_idle(sequences, ["idle"], length=9, target=7, seed=0)
    assert np.array_equal(found.windows, again.windows)


def test_a_subject_whose_hands_are_always_in_view_gets_no_idle_window():
    found = synthetic_idle([sequence("wave"), sequence("nod")], (), length=9, target=2, seed=0)
    assert found.windows.shape == (0, 9, SIZE) and not len(found.targets)
