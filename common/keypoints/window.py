"""Cut the frames of one stream into evenly spaced windows; a window never spans a gap."""

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.keypoints.landmarks import LEFT_ANKLE, PARTS, RIGHT_ANKLE, SHAPES, SIZE, SLICES

MIN_PERSON_RATIO = 0.5  # below this fraction of frames with a pose, a window counts as one without a person
MIN_ANKLE_VISIBILITY = 0.7  # false detections of a person have less: docs/decisions/0008
_POSE = PARTS.index("pose")
CONFIRMING = [index for index, part in enumerate(PARTS) if part != "pose"]
_ANKLES = SLICES["pose"].start + SHAPES["pose"][1] * np.array([LEFT_ANKLE, RIGHT_ANKLE]) + 3  # their visibilities


class TimeWindow(NamedTuple):
    """The landmarks from start_ns to the newest frame."""

    vectors: NDArray[np.float32]  # (length, 1662), or (0, 1662) while `filled` < length
    start_ns: int
    filled: int
    person_ratio: float  # fraction of the window's frames with a pose; 0 if nothing confirms that it is a person's


class Windower:
    """Collects the frames of one stream.

    Args:
        length: vectors in a window.
        fps: their rate; None takes the frames without resampling.
        stride: a window at every stride-th frame.
        max_gap_s: a longer gap between two frames, or time that does not advance, starts a new window.
        legs_confirm: whether a leg, and not only a face or hand, confirms that a pose is a person's.
    """

    def __init__(
        self, length: int, fps: float | None, stride: int = 1, max_gap_s: float = 0.5, legs_confirm: bool = False
    ) -> None:
        self.length, self.fps, self.stride, self._legs_confirm = length, fps, stride, legs_confirm
        self._period_ns = 1e9 / fps if fps is not None else 0.0
        self._max_gap_ns = round(max_gap_s * 1e9)
        self._times: deque[int] = deque()
        self._vectors: deque[NDArray[np.float32]] = deque()
        self._detected: deque[NDArray[np.bool_]] = deque()  # which of PARTS, (4,) by frame
        self._until_next = 0
        self.gaps = 0

    def push(self, captured_ns: int, vector: NDArray[np.float32]) -> TimeWindow | None:
        """Add a frame (1662,); returns the window that ends with it, or None if the stride skips it."""
        if self._times and not 0 < captured_ns - self._times[-1] <= self._max_gap_ns:
            self.gaps += 1
            self.clear()
        self._times.append(captured_ns)
        self._vectors.append(vector)
        self._detected.append(parts_detected(vector))
        self._drop_old()
        filled = self._filled()
        if filled < self.length:
            return TimeWindow(
                np.empty((0, SIZE), np.float32), self._times[0], filled, _person_ratio(np.stack(self._detected))
            )
        self._until_next -= 1
        if self._until_next > 0:
            return None
        self._until_next = self.stride
        return self._window()

    def clear(self) -> None:
        """Drop all frames, as before those of another stream."""
        self._times.clear()
        self._vectors.clear()
        self._detected.clear()
        self._until_next = 0

    def _drop_old(self) -> None:
        """Drop the frames that no window needs any more; one before the start is needed for interpolation."""
        if self.fps is None:
            while len(self._times) > self.length:
                self._pop()
        else:
            start = self._times[-1] - (self.length - 1) * self._period_ns
            while len(self._times) > 2 and self._times[1] <= start:
                self._pop()

    def _pop(self) -> None:
        self._times.popleft()
        self._vectors.popleft()
        self._detected.popleft()

    def _filled(self) -> int:
        if self.fps is None:
            return len(self._times)
        # Half a period of tolerance: the clock of a camera is never exact.
        span = (self._times[-1] - self._times[0]) / self._period_ns
        return min(self.length, int(span + 0.5) + 1)

    def _window(self) -> TimeWindow:
        vectors, times, detected = np.stack(self._vectors), np.array(self._times, np.int64), np.stack(self._detected)
        has_legs = self._legs_confirm and bool(legs_detected(vectors).mean() >= MIN_PERSON_RATIO)
        if self.fps is not None:
            wanted = times[-1] - np.arange(self.length - 1, -1, -1) * self._period_ns
            vectors = resample(vectors, times - times[-1], wanted - times[-1], detected)
            start_ns = int(wanted[0])
        else:
            start_ns = int(times[0])
        return TimeWindow(vectors, start_ns, self.length, _person_ratio(detected, has_legs))


def _person_ratio(detected: NDArray[np.bool_], has_legs: bool = False) -> float:
    """Return the fraction of frames with a person, from the (n, 4) of `parts_detected`."""
    # MediaPipe detects a pose in a logo, but neither face, hand nor leg: docs/decisions/0008.
    confirmed = has_legs or detected[:, CONFIRMING].any()
    return float(detected[:, _POSE].mean()) if confirmed else 0.0


def parts_detected(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which of PARTS are not all zeros, (..., 4), in vectors (..., 1662)."""
    return np.stack([vectors[..., SLICES[part]].any(axis=-1) for part in PARTS], axis=-1)


def legs_detected(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return whether an ankle, and so the leg above it, is in view, (...), in vectors (..., 1662)."""
    return (vectors[..., _ANKLES] >= MIN_ANKLE_VISIBILITY).any(axis=-1)


def resample(
    vectors: NDArray[np.float32],
    times: NDArray[np.integer],
    wanted: NDArray[np.floating],
    detected: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Resample vectors to other times by linear interpolation.

    Where a part is missing (zeros) in one of the two neighbours, it is taken from the nearer one: there is nothing
    halfway between a hand and no hand. Times outside take the first or the last frame.

    Args:
        vectors: landmarks, (n, 1662).
        times: of the vectors, (n,), rising.
        wanted: times of the result, (m,).
        detected: `parts_detected(vectors)`, if known already.

    Returns:
        Landmarks, (m, 1662).
    """
    if len(times) == 1:
        return np.repeat(vectors, len(wanted), axis=0)
    after = np.clip(np.searchsorted(times, wanted), 1, len(times) - 1)
    before = after - 1
    weight = np.clip((wanted - times[before]) / (times[after] - times[before]), 0, 1).astype(np.float32)
    result = vectors[after]
    earlier = vectors[before]
    result -= earlier
    result *= weight[:, None]
    result += earlier
    detected = parts_detected(vectors) if detected is None else detected
    nearest = np.where(weight < 0.5, before, after)
    broken = detected[before] != detected[after]
    for part in np.flatnonzero(broken.any(axis=0)):
        rows, columns = broken[:, part], SLICES[PARTS[part]]
        result[rows, columns] = vectors[nearest[rows], columns]
    return result
