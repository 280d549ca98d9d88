"""Smooth the pose landmarks of a stream as MediaPipe does.

This is the filter that MediaPipe applies inside a graph, at the one place that has every frame: several extractors may
share a stream, and each of their graphs would smooth only its own frames. From one graph's raw landmarks it computes
that graph's smoothed ones to within 0.0004 px. Two graphs on alternate frames then have 7 % more jitter than one; with
each graph smoothing its own frames, 83 %. Face and hands are not smoothed, as in MediaPipe.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.keypoints.landmarks import split

# mediapipe 0.10.21, modules/pose_landmark/pose_landmark_filtering.pbtxt: a landmark at rest is smoothed
# over 3 s, and the more lightly the faster it moves, in sizes of the person per second.
MIN_CUTOFF_HZ: Final = 0.05
BETA: Final = 80.0
SPEED_CUTOFF_HZ: Final = 1.0
VISIBILITY_ALPHA: Final = 0.1  # a frame, whatever its time

# calculators/util/landmarks_smoothing_calculator.proto: a smaller person is not smoothed.
MIN_SCALE_PX: Final = 1e-6


class _State(NamedTuple):
    """The state of the filter: the last frame, raw and smoothed."""

    captured_ns: int
    raw: NDArray[np.float64]  # (33, 3), normalised
    position: NDArray[np.float64]  # (33, 3), normalised
    speed: NDArray[np.float64]  # (33, 3), sizes of the person per second
    visibility: NDArray[np.float64]  # (33,)


def _alpha(cutoff_hz: NDArray[np.float64] | float, step_s: float) -> NDArray[np.float64]:
    """Return the weight of the newest value in a low-pass filter, from util/filtering/one_euro_filter.cc."""
    return np.asarray(1.0 / (1.0 + 1.0 / (2.0 * np.pi * cutoff_hz * step_s)))


def _start(pose: NDArray[np.float64], captured_ns: int) -> _State:
    """Initialise the filter with a frame, unsmoothed and at rest."""
    xyz = pose[:, :3]
    return _State(captured_ns, xyz, xyz, np.zeros_like(xyz), pose[:, 3])


def _step(last: _State, pose: NDArray[np.float64], captured_ns: int, person: NDArray[np.float64]) -> _State:
    """Apply the 1€ filter (Casiez et al., CHI 2012) to x, y, z and a plain low-pass filter to visibility.

    `person` (3,) is the size of the person in frame widths, heights and widths.
    """
    step_s = (captured_ns - last.captured_ns) * 1e-9
    raw = pose[:, :3]
    speed = (raw - last.raw) / person / step_s
    # Written as a step towards the new value, so that equal values stay exactly equal.
    speed = last.speed + _alpha(SPEED_CUTOFF_HZ, step_s) * (speed - last.speed)
    alpha = _alpha(MIN_CUTOFF_HZ + BETA * np.abs(speed), step_s)
    position = last.position + alpha * (raw - last.position)
    visibility = last.visibility + VISIBILITY_ALPHA * (pose[:, 3] - last.visibility)
    return _State(captured_ns, raw, position, speed, visibility)


class PoseSmoother:
    """Smooths one stream; use one instance per stream.

    It is reset when the pose is not detected (as in MediaPipe), when time does not advance (a file that starts over)
    and after more than `max_gap_s` without a frame, since the last position then says nothing about the next.
    """

    def __init__(self, max_gap_s: float = 0.5) -> None:
        self._max_gap_ns = max_gap_s * 1e9
        self._last: _State | None = None

    def __call__(
        self, vector: NDArray[np.float32], captured_ns: int, person_size_px: float, size: tuple[int, int]
    ) -> NDArray[np.float32]:
        """Return a copy of the next frame's vector with the pose smoothed.

        Args:
            vector: raw landmarks, float32 (1662,).
            captured_ns: the time of the frame.
            person_size_px: the mean of width and height, in pixels, of the rectangle that MediaPipe lays around this
                frame's raw pose (`roi` in pose_landmark_filtering.pbtxt).
            size: width and height of the frame in pixels.

        Raises:
            ValueError: for another length of vector.
        """
        smoothed = vector.copy()
        view = split(smoothed)["pose"]
        if not view.any() or not person_size_px >= MIN_SCALE_PX:
            self._last = None
            return smoothed
        pose = view.astype(np.float64)
        last = self._last
        if last is not None and 0 < captured_ns - last.captured_ns <= self._max_gap_ns:
            width, height = size
            person = person_size_px / np.array([width, height, width])  # z is in widths, like x
            state = _step(last, pose, captured_ns, person)
        else:
            state = _start(pose, captured_ns)
        view[:, :3], view[:, 3] = state.position, state.visibility
        self._last = state
        return smoothed
