"""One stream's frames in, evenly spaced windows out; a window never bridges a gap or mixes streams."""

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.keypoints.landmarks import LEFT_ANKLE, PARTS, RIGHT_ANKLE, SHAPES, SIZE, SLICES

MIN_PERSON_RATIO = 0.5  # share of a window's frames with a person in view, below which there is nobody
CLEARLY_SEEN = 0.7  # visibility of an ankle; what is no person has less: docs/decisions/0008
_POSE = PARTS.index("pose")
CONFIRMING = [place for place, part in enumerate(PARTS) if part != "pose"]
_ANKLES = SLICES["pose"].start + SHAPES["pose"][1] * np.array([LEFT_ANKLE, RIGHT_ANKLE]) + 3  # their visibilities


class TimeWindow(NamedTuple):
    """`vectors` float32 (length, 1662) from start_ns to the newest frame; empty while `filled` < length."""

    vectors: NDArray[np.float32]
    start_ns: int
    filled: int
    person_ratio: float  # share of the window's frames that have a pose; 0 if nothing confirms that it is a person's


class Windower:
    """Collects the frames of one stream.

    length: vectors in a window. fps: their rate; None takes the frames as they came. stride: a window at
    every stride-th frame. max_gap_s: a longer pause between two frames, or time that runs back, starts over.
    legs_confirm: not only a face or hand but a leg, too, shows that a pose is a person's.
    """

    def __init__(
        self, length: int, fps: float | None, stride: int = 1, max_gap_s: float = 0.5, legs_confirm: bool = False
    ) -> None:
        self.length, self.fps, self.stride, self._legs_confirm = length, fps, stride, legs_confirm
        self._max_gap_ns = round(max_gap_s * 1e9)
        self._times: deque[int] = deque()
        self._vectors: deque[NDArray[np.float32]] = deque()
        self._seen: deque[NDArray[np.bool_]] = deque()  # which parts, (4,) by frame
        self._until_next = 0
        self.gaps = 0

    def push(self, captured_ns: int, vector: NDArray[np.float32]) -> TimeWindow | None:
        """Add a frame (1662,); the window that ends with it, or None where the stride skips it."""
        if self._times and not 0 < captured_ns - self._times[-1] <= self._max_gap_ns:
            self.gaps += 1
            self.clear()
        self._times.append(captured_ns)
        self._vectors.append(vector)
        self._seen.append(parts_detected(vector))
        self._forget()
        filled = self._filled()
        if filled < self.length:
            return TimeWindow(
                np.empty((0, SIZE), np.float32), self._times[0], filled, _person_ratio(np.stack(self._seen))
            )
        self._until_next -= 1
        if self._until_next > 0:
            return None
        self._until_next = self.stride
        return self._window()

    def clear(self) -> None:
        """Forget everything: what comes next has nothing to do with what was."""
        self._times.clear()
        self._vectors.clear()
        self._seen.clear()
        self._until_next = 0

    @property
    def _period_ns(self) -> float:
        assert self.fps is not None
        return 1e9 / self.fps

    def _forget(self) -> None:
        """Drop the frames no window needs any more; one before its start is needed to interpolate."""
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
        self._seen.popleft()

    def _filled(self) -> int:
        if self.fps is None:
            return len(self._times)
        # Half a period of grace: the clock of a camera is never exact.
        span = (self._times[-1] - self._times[0]) / self._period_ns
        return min(self.length, int(span + 0.5) + 1)

    def _window(self) -> TimeWindow:
        vectors, times, seen = np.stack(self._vectors), np.array(self._times, np.int64), np.stack(self._seen)
        has_legs = self._legs_confirm and bool(legs_detected(vectors).mean() >= MIN_PERSON_RATIO)
        if self.fps is not None:
            wanted = times[-1] - np.arange(self.length - 1, -1, -1) * self._period_ns
            vectors = resample(vectors, times - times[-1], wanted - times[-1], seen)
            start_ns = int(wanted[0])
        else:
            start_ns = int(times[0])
        return TimeWindow(vectors, start_ns, self.length, _person_ratio(seen, has_legs))


def _person_ratio(seen: NDArray[np.bool_], has_legs: bool = False) -> float:
    """The share of frames, (n, 4) of seen_parts, that show a person."""
    # MediaPipe sees a pose in a logo, but neither face, hand nor leg on it: docs/decisions/0008.
    confirmed = has_legs or seen[:, CONFIRMING].any()
    return float(seen[:, _POSE].mean()) if confirmed else 0.0


def parts_detected(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which of PARTS are not all zeros: (..., 1662) to (..., 4)."""
    return np.stack([vectors[..., SLICES[part]].any(axis=-1) for part in PARTS], axis=-1)


def legs_detected(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where an ankle, and so the leg above it, is in view: (..., 1662) to (...)."""
    return (vectors[..., _ANKLES] >= CLEARLY_SEEN).any(axis=-1)


def resample(
    vectors: NDArray[np.float32],
    times: NDArray[np.integer],
    wanted: NDArray[np.floating],
    seen: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Vectors (n, 1662) at rising `times` to (m, 1662) at `wanted`, linear between neighbours.

    `seen` is their seen_parts, for those who have it.

    Where a part is absent (zeros) in one of the two, the nearer frame stands for it: half way between a
    hand and no hand there is no hand. Times outside take the first or the last frame.
    """
    if len(times) == 1:
        return np.repeat(vectors, len(wanted), axis=0)
    after = np.clip(np.searchsorted(times, wanted), 1, len(times) - 1)
    before = after - 1
    share = np.clip((wanted - times[before]) / (times[after] - times[before]), 0, 1).astype(np.float32)
    result = vectors[after]
    earlier = vectors[before]
    result -= earlier
    result *= share[:, None]
    result += earlier
    seen = parts_detected(vectors) if seen is None else seen
    nearest = np.where(share < 0.5, before, after)
    broken = seen[before] != seen[after]
    for part in np.flatnonzero(broken.any(axis=0)):
        rows, columns = broken[:, part], SLICES[PARTS[part]]
        result[rows, columns] = vectors[nearest[rows], columns]
    return result
