"""Check that windows never span a gap, are evenly spaced, and are of one stream only."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from common.keypoints.landmarks import LEFT_ANKLE, LEFT_HIP, PARTS, RIGHT_ANKLE, RIGHT_HIP, SIZE, SLICES, split
from common.keypoints.window import TimeWindow, Windower, resample

MS = 1_000_000
MAX_GAP_NS = 500 * MS
SLOPES = np.linspace(-2, 2, SIZE).astype(np.float32)  # a motion of its own for each number
LENGTHS = st.integers(1, 8)
RATES = st.none() | st.sampled_from([5.0, 12.5, 25.0, 30.0])
# Steps back, on the spot, regular, slow, and over a gap.
STEPS_MS = st.lists(st.sampled_from([-300, 0, 1, 20, 33, 40, 100, 499, 500, 501, 4000]), min_size=1, max_size=60)


def frame(captured_ns: int) -> NDArray[np.float32]:
    """The moving body at that time; at 5 and more in every number, so that all parts are there."""
    return (10 + SLOPES * (captured_ns / 1e9)).astype(np.float32)


def marked(number: float) -> NDArray[np.float32]:
    return np.full(SIZE, number, np.float32)


def full(windows: list[TimeWindow | None]) -> list[TimeWindow]:
    return [w for w in windows if w is not None and len(w.vectors)]


def runs(times: list[int]) -> list[list[int]]:
    """The stretches of frames without a gap, which a window must not leave."""
    found: list[list[int]] = []
    for i, time in enumerate(times):
        if i and 0 < time - times[i - 1] <= MAX_GAP_NS:
            found[-1].append(time)
        else:
            found.append([time])
    return found


@given(STEPS_MS, LENGTHS, RATES)
def test_no_window_bridges_a_gap_or_goes_back_in_time(steps: list[int], length: int, fps: float | None) -> None:
    times = [int(t) for t in 10**15 + np.cumsum(steps) * MS]
    windower, number = Windower(length, fps, max_gap_s=0.5), 0
    for number_of_run, run in enumerate(runs(times)):
        for i, time in enumerate(run):
            window = windower.push(time, marked(1 + number_of_run))
            assert window is not None and 0 < window.filled <= length
            number += 1
            if len(window.vectors):
                assert window.vectors.shape == (length, SIZE) and window.vectors.dtype == np.float32
                np.testing.assert_array_equal(window.vectors, 1 + number_of_run)  # no frame of another stretch
                grace_ns = 0.5e9 / fps + 300 if fps else 0
                assert run[0] - grace_ns <= window.start_ns <= time
            else:
                assert window.filled < length
            assert fps is not None or window.filled == min(length, i + 1)
    assert windower.gaps == len(runs(times)) - 1


@given(st.integers(1, 6), st.integers(0, 20))
def test_without_a_rate_a_window_is_the_last_frames_themselves(length: int, more: int) -> None:
    windower = Windower(length, None)
    vectors = [marked(i + 1) for i in range(length + more)]
    times = [i * 37 * MS for i in range(length + more)]
    last = [windower.push(t, v) for t, v in zip(times, vectors, strict=True)][-1]
    assert last is not None
    np.testing.assert_array_equal(last.vectors, vectors[-length:])
    assert (last.start_ns, last.filled, last.person_ratio) == (times[-length], length, 1.0)


@given(st.sampled_from([10.0, 25.0, 30.0]), st.lists(st.integers(5, 120), min_size=40, max_size=60), st.integers(2, 12))
def test_linear_motion_stays_linear_at_the_wanted_times(fps: float, steps_ms: list[int], length: int) -> None:
    windower = Windower(length, fps)
    times = [int(t) for t in np.cumsum(steps_ms) * MS]
    for time in times:
        window = windower.push(time, frame(time))
        assert window is not None
        wanted = time - np.arange(length - 1, -1, -1) * 1e9 / fps
        if len(window.vectors) and wanted[0] >= times[0]:
            assert abs(window.start_ns - wanted[0]) <= 1
            np.testing.assert_allclose(window.vectors, [frame(t) for t in wanted], atol=2e-5)


def test_the_same_motion_at_25_and_50_frames_a_second_gives_the_same_window() -> None:
    windows = []
    for rate in (25, 50):
        windower = Windower(30, 25.0)
        windows.append([windower.push(i * 1000 * MS // rate, frame(i * 1000 * MS // rate)) for i in range(2 * rate)])
    slow, fast = full(windows[0]), full(windows[1])
    fast_at = {w.start_ns: w.vectors for w in fast}
    assert slow and len(fast) == pytest.approx(2 * len(slow), abs=2)
    for window in slow[1:]:
        np.testing.assert_allclose(fast_at[window.start_ns], window.vectors, atol=1e-5)


def test_an_unsteady_clock_does_not_keep_a_window_from_filling() -> None:
    rng = np.random.default_rng(0)
    windower = Windower(30, 30.0)
    times = [round(i * 1e9 / 30 + rng.uniform(-5, 5) * MS) for i in range(31)]
    windows = [windower.push(t, frame(t)) for t in times]
    assert len(full(windows[:31])) >= 1 and not full(windows[:28])


@pytest.mark.parametrize("absent", PARTS)
@given(seed=st.integers(0, 2**32), gaps=st.lists(st.booleans(), min_size=2, max_size=12))
def test_a_part_is_never_half_present(absent: str, seed: int, gaps: list[bool]) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.uniform(0.5, 1, (len(gaps), SIZE)).astype(np.float32)
    vectors[np.array(gaps), SLICES[absent]] = 0
    times = np.cumsum(rng.integers(10, 100, len(gaps))) * MS
    wanted = np.linspace(times[0] - MS, times[-1] + MS, 50)
    part = resample(vectors, times, wanted)[:, SLICES[absent]]
    assert ((part == 0).all(axis=1) | (part >= 0.49).all(axis=1)).all()
    nearest = np.abs(times[None] - wanted[:, None]).argmin(axis=1)
    apart = np.abs(np.diff(np.sort(np.abs(times[None] - wanted[:, None]), axis=1)[:, :2])[:, 0]) > 2
    np.testing.assert_array_equal((part == 0).all(axis=1)[apart], np.array(gaps)[nearest][apart])


@given(st.integers(0, 2**32), st.integers(1, 6))
def test_resampling_at_the_frames_own_times_changes_nothing(seed: int, count: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(count, SIZE)).astype(np.float32)
    times = np.arange(count) * 40 * MS
    np.testing.assert_allclose(resample(vectors, times, times.astype(float)), vectors, atol=1e-6)


@given(st.integers(1, 7), st.integers(1, 4), RATES)
def test_a_stride_skips_windows_evenly_and_starts_over_after_a_gap(stride: int, length: int, fps: float | None) -> None:
    windower, every = Windower(length, fps, stride), Windower(length, fps)
    for start in (0, 10**12):
        times = [start + i * 40 * MS for i in range(35)]
        dense = [w for t in times if (w := every.push(t, frame(t))) and len(w.vectors)]
        sparse = full([windower.push(t, frame(t)) for t in times])
        assert [w.start_ns for w in sparse] == [w.start_ns for w in dense[::stride]]


def test_two_streams_with_a_windower_each_do_not_mix() -> None:
    left, right = Windower(4, 25.0), Windower(4, 25.0)
    for i in range(20):
        a, b = left.push(i * 40 * MS, marked(1)), right.push(i * 40 * MS + 7, marked(2))
        assert a is not None and b is not None
        assert (a.vectors == 1).all() and (b.vectors == 2).all()


def test_a_pushed_frame_is_not_modified_and_a_window_is_not_changed_later() -> None:
    windower, vectors = Windower(3, None), [marked(i + 1) for i in range(5)]
    windows = [windower.push(i * MS, v) for i, v in enumerate(vectors)]
    kept = [w.vectors.copy() for w in full(windows)]
    vectors[2][:] = 99
    for window, before in zip(full(windows), kept, strict=True):
        np.testing.assert_array_equal(window.vectors, before)


def test_person_ratio_is_the_fraction_of_frames_with_a_pose() -> None:
    windower = Windower(4, None)
    for i in range(4):
        vector = marked(1)
        if i < 3:
            vector[SLICES["pose"]] = 0
        window = windower.push(i * 40 * MS, vector)
    assert window is not None and window.person_ratio == 0.25


def test_a_pose_without_face_or_hand_is_not_a_person() -> None:
    windower, pose_only = Windower(4, None), marked(1)
    pose_only[SLICES["face"].start :] = 0
    windows = [windower.push(i * 40 * MS, pose_only) for i in range(8)]
    assert [window.person_ratio for window in full(windows)] == [0.0] * 5
    confirmed = windower.push(320 * MS, marked(1))
    assert confirmed is not None and confirmed.person_ratio == 1.0


def test_memory_stays_bounded_at_a_high_frame_rate_and_over_slow_ones() -> None:
    windower = Windower(30, 25.0)
    for i in range(1000):
        windower.push(i * 2 * MS, marked(1))
    assert len(windower._times) <= 29 * 20 + 2


def test_a_leg_confirms_a_pose_if_detected_on_half_of_the_frames_and_if_enabled() -> None:
    seen = {"L": [LEFT_ANKLE], "R": [RIGHT_ANKLE], "x": [LEFT_HIP, RIGHT_HIP]}

    def share(legs: str, legs_confirm: bool = True) -> float:
        windower = Windower(len(legs), None, legs_confirm=legs_confirm)
        for i, leg in enumerate(legs):
            vector = np.zeros(SIZE, np.float32)
            pose = split(vector)["pose"]
            pose[:] = 0.6  # visibilities too
            pose[seen[leg], 3] = 0.9
            window = windower.push(i * 40 * MS, vector)
        assert window is not None
        return window.person_ratio

    assert share("LxRx") == 1
    assert share("LxRx", legs_confirm=False) == 0
    assert share("Lxxx") == share("xxxx") == 0
