"""Check the smoothing of the pose against MediaPipe's formula, and properties that hold for any frames."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from common.keypoints.landmarks import SIZE, SLICES, split
from common.keypoints.smoothing import PoseSmoother

SCALE_PX, SIZE_PX = 300.0, (640, 480)
FRAME_NS = 33_333_000  # what MediaPipe's Python interface pretends
VALUES = st.floats(-1, 2, width=32)
# Gaps between frames that do not start the filter anew.
STEPS_NS = st.lists(st.integers(1_000_000, 400_000_000), min_size=1, max_size=20)


def vector(pose: float | NDArray[np.float32], rest: float = 0.0) -> NDArray[np.float32]:
    values = np.full(SIZE, rest, np.float32)
    values[SLICES["pose"]] = pose
    return values


def poses(seed: int, frames: int) -> NDArray[np.float32]:
    """(frames, 132) of noise; none of them is all zeros."""
    return np.random.default_rng(seed).uniform(0.01, 1, (frames, 132)).astype(np.float32)


def smooth(
    raw: NDArray[np.float32], times_ns: NDArray[np.int64], person_size_px: float = SCALE_PX
) -> NDArray[np.float32]:
    smoother = PoseSmoother()
    return np.array(
        [smoother(vector(p), int(t), person_size_px, SIZE_PX)[:132] for p, t in zip(raw, times_ns, strict=True)]
    )


@given(st.floats(-1, 2, width=32).filter(bool), STEPS_NS, st.floats(1, 2000))
def test_a_constant_is_unchanged(value: float, steps_ns: list[int], person_size_px: float) -> None:
    times_ns = np.cumsum(steps_ns)
    raw = np.full((len(times_ns), 132), value, np.float32)
    np.testing.assert_array_equal(smooth(raw, times_ns, person_size_px), raw)


@given(st.integers(0, 2**32), STEPS_NS, st.floats(1, 2000))
def test_the_output_stays_within_the_range_of_the_input_so_far(
    seed: int, steps_ns: list[int], person_size_px: float
) -> None:
    raw = poses(seed, len(steps_ns))
    out = smooth(raw, np.cumsum(steps_ns), person_size_px)
    assert (out >= np.minimum.accumulate(raw) - 1e-6).all()
    assert (out <= np.maximum.accumulate(raw) + 1e-6).all()


@given(st.integers(0, 2**32), VALUES)
def test_other_parts_pass_unchanged_and_change_nothing(seed: int, rest: float) -> None:
    smoother, other = PoseSmoother(), PoseSmoother()
    for i, pose in enumerate(poses(seed, 5)):
        given_vector = vector(pose, rest)
        before = given_vector.copy()
        out = smoother(given_vector, i * FRAME_NS, SCALE_PX, SIZE_PX)
        bare = other(vector(pose), i * FRAME_NS, SCALE_PX, SIZE_PX)
        assert out.dtype == np.float32 and out.shape == (SIZE,)
        np.testing.assert_array_equal(out[132:], given_vector[132:])
        np.testing.assert_array_equal(out[:132], bare[:132])
        np.testing.assert_array_equal(given_vector, before)


@given(st.integers(0, 2**32), st.integers(0, 10**18), st.sampled_from([0.25, 2.0, 3.0]))
def test_only_differences_of_time_and_relative_size_count(seed: int, start_ns: int, zoom: float) -> None:
    raw, times_ns = poses(seed, 6), np.arange(6) * FRAME_NS
    zoomed, size = PoseSmoother(), (int(SIZE_PX[0] * zoom), int(SIZE_PX[1] * zoom))
    out = [
        zoomed(vector(p), start_ns + int(t), SCALE_PX * zoom, size)[:132] for p, t in zip(raw, times_ns, strict=True)
    ]
    np.testing.assert_allclose(out, smooth(raw, times_ns), atol=1e-6)


@pytest.mark.parametrize(("pose", "person_size_px"), [(0.0, SCALE_PX), (0.5, 0.0)])
def test_it_starts_anew_after_a_frame_without_pose_or_size(pose: float, person_size_px: float) -> None:
    smoother, raw = PoseSmoother(), poses(1, 2)
    smoother(vector(raw[0]), 0, SCALE_PX, SIZE_PX)
    np.testing.assert_array_equal(smoother(vector(pose), FRAME_NS, person_size_px, SIZE_PX), vector(pose))
    np.testing.assert_array_equal(smoother(vector(raw[1]), 2 * FRAME_NS, SCALE_PX, SIZE_PX)[:132], raw[1])


@pytest.mark.parametrize("next_ns", [0, FRAME_NS, FRAME_NS + 500_000_001])
def test_it_starts_anew_where_time_does_not_run_on(next_ns: int) -> None:
    smoother, raw = PoseSmoother(max_gap_s=0.5), poses(1, 3)
    smoother(vector(raw[0]), 0, SCALE_PX, SIZE_PX)
    smoother(vector(raw[1]), FRAME_NS, SCALE_PX, SIZE_PX)
    np.testing.assert_array_equal(smoother(vector(raw[2]), next_ns, SCALE_PX, SIZE_PX)[:132], raw[2])


def test_it_continues_over_a_frame_or_two_that_were_lost() -> None:
    raw = poses(2, 2)
    out = smooth(raw, np.array([0, 3 * FRAME_NS]))
    assert (np.abs(out[1] - raw[0]) < np.abs(raw[1] - raw[0])).all()


def one_euro(values: list[float], times_s: list[float]) -> list[float]:
    """MediaPipe's one_euro_filter.cc, one value after another: (value - last raw) * frequency, and so on."""

    def weight(cutoff: float, frequency: float) -> float:
        return 1.0 / (1.0 + (1.0 / (2 * math.pi * cutoff)) * frequency)

    last_raw, stored, speed, out = values[0], values[0], 0.0, [values[0]]
    for value, now, before in zip(values[1:], times_s[1:], times_s, strict=False):
        frequency = 1.0 / (now - before)
        a = weight(1.0, frequency)
        speed = a * (value - last_raw) * frequency + (1 - a) * speed
        a = weight(0.05 + 80.0 * abs(speed), frequency)
        last_raw, stored = value, a * value + (1 - a) * stored
        out.append(stored)
    return out


def test_two_frames_by_hand() -> None:
    # x moves by 6 px of a person of 300 px in 1/30 s: 0.6 sizes a second. The speed filter's weight at
    # 1 Hz is 1 / (1 + 30 / 2 pi) = 0.17317, so the cutoff is 0.05 + 80 * 0.10390 = 8.3622 Hz, whose
    # weight is 1 / (1 + 30 / (2 pi 8.3622)) = 0.63654.
    smoother = PoseSmoother()
    first = vector(0.5)
    second = first.copy()
    second[0], second[3] = 0.5 + 6 / 640, 1.0
    smoother(first, 0, 300.0, (640, 480))
    pose = split(smoother(second, 33_333_333, 300.0, (640, 480)))["pose"]
    assert pose[0, 0] == pytest.approx(0.5 + 0.63654 * 6 / 640, abs=1e-6)
    assert pose[0, 3] == pytest.approx(0.55)
    np.testing.assert_array_equal(pose[1:], 0.5)


@given(st.integers(0, 2**32), STEPS_NS)
def test_it_is_mediapipes_formula_in_pixels(seed: int, steps_ns: list[int]) -> None:
    times_ns = np.cumsum(steps_ns)
    raw = poses(seed, len(steps_ns))
    out = smooth(raw, times_ns).reshape(-1, 33, 4)
    for axis, extent in enumerate((640, 480, 640)):
        values = raw.reshape(-1, 33, 4)[:, 7, axis].astype(float) * extent / SCALE_PX
        expected = one_euro(values.tolist(), (times_ns * 1e-9).tolist())
        np.testing.assert_allclose(out[:, 7, axis] * extent / SCALE_PX, expected, atol=1e-5)


def test_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="1662"):
        PoseSmoother()(np.ones(1629, np.float32), 0, SCALE_PX, SIZE_PX)
