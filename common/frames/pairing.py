"""Pair the keypoints of a stream with their frames, which arrive separately, in order."""

import time
from collections import OrderedDict, deque
from collections.abc import Collection
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.bus.messages import Frame, Keypoints

MEMORY_LIMIT_BYTES: Final = 500_000_000  # of images that wait, of all streams: 20 of 4K, 80 of 1080p
HEADER_BYTES: Final = 1_000  # about; a frame without an image counts too
LATE_S: Final = 1.0  # a frame that has not arrived so long after its keypoints is lost


class Pair(NamedTuple):
    """The keypoints of a frame, and the frame and its image; None if these were lost."""

    keypoints: Keypoints
    vector: NDArray[np.float32]  # (1662,)
    frame: Frame | None = None
    image: NDArray[np.uint8] | None = None  # None also where it would not be shown


class FramePairing:
    """Holds frames until their keypoints arrive, and keypoints until their frame arrives or is known to be lost."""

    def __init__(self) -> None:
        self.held_bytes = 0
        self._frames: OrderedDict[int, tuple[Frame, NDArray[np.uint8] | None]] = OrderedDict()
        self._keypoints: deque[tuple[float, Keypoints, NDArray[np.float32]]] = deque()

    @property
    def waiting(self) -> int:
        """The number of keypoints that are still held."""
        return len(self._keypoints)

    def add_frame(self, header: Frame, image: NDArray[np.uint8] | None) -> None:
        """Add a frame; without an image if it would not be shown."""
        if header.seq not in self._frames:
            self._frames[header.seq] = header, image
            self.held_bytes += _bytes(image)

    def add_keypoints(self, header: Keypoints, vector: NDArray[np.float32]) -> None:
        """Add the landmarks of a frame."""
        self._keypoints.append((time.monotonic(), header, vector))

    def next(self) -> Pair | None:
        """Return the next pair, once, when it is complete or its frame is lost; None before."""
        if not self._keypoints:
            return None
        since_s, keypoints, vector = self._keypoints[0]
        seq = keypoints.seq
        frame, image = self._frames.get(seq, (None, None))
        if frame is None and not self._is_lost(seq, since_s):
            return None  # keypoints may arrive before their frame
        self._keypoints.popleft()
        while self._frames and next(iter(self._frames)) <= seq:
            self.drop_oldest()
        return Pair(keypoints, vector, frame, image)

    def _is_lost(self, seq: int, since_s: float) -> bool:
        return any(later > seq for later in self._frames) or time.monotonic() - since_s > LATE_S

    def drop_oldest(self) -> None:
        """Drop the oldest frame."""
        _, (_, image) = self._frames.popitem(last=False)
        self.held_bytes -= _bytes(image)


def limit_memory(pairings: Collection[FramePairing], limit_bytes: int = MEMORY_LIMIT_BYTES) -> None:
    """Drop frames until all pairings together are within the limit, always the oldest of the one that holds most."""
    while sum(pairing.held_bytes for pairing in pairings) > limit_bytes:
        max(pairings, key=lambda pairing: pairing.held_bytes).drop_oldest()


def _bytes(image: NDArray[np.uint8] | None) -> int:
    return HEADER_BYTES + (0 if image is None else image.nbytes)
