"""Keypoints and pictures of one stream in, each on a way of its own; pairs that belong together out, in order."""

import time
from collections import OrderedDict, deque
from collections.abc import Collection
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.bus.messages import Frame, Keypoints

MEMORY_LIMIT_BYTES: Final = (
    500_000_000  # of pictures of all streams that wait for their keypoints: 20 of 4K, 80 of 1080p
)
HEADER_BYTES: Final = 1_000  # about; a frame counts without its picture too
LATE_S: Final = 1.0  # a picture that is not there so long after its keypoints was lost


class Pair(NamedTuple):
    """What was found in a frame, and the frame's picture; None if that was lost."""

    keypoints: Keypoints
    vector: NDArray[np.float32]  # (1662,)
    frame: Frame | None = None
    image: NDArray[np.uint8] | None = None  # None also where it would not be shown


class FramePairing:
    """Holds pictures until their keypoints come, and keypoints until it is clear what became of their picture."""

    def __init__(self) -> None:
        self.held_bytes = 0
        self._frames: OrderedDict[int, tuple[Frame, NDArray[np.uint8] | None]] = OrderedDict()
        self._keypoints: deque[tuple[float, Keypoints, NDArray[np.float32]]] = deque()

    @property
    def waiting(self) -> int:
        """Keypoints that are still here."""
        return len(self._keypoints)

    def add_frame(self, header: Frame, image: NDArray[np.uint8] | None) -> None:
        """A frame; without an array where its picture would not be shown."""
        if header.seq not in self._frames:
            self._frames[header.seq] = header, image
            self.held_bytes += _bytes(image)

    def add_keypoints(self, header: Keypoints, vector: NDArray[np.float32]) -> None:
        """Add the landmarks of a frame."""
        self._keypoints.append((time.monotonic(), header, vector))

    def next(self) -> Pair | None:
        """The next pair, once, when it is complete or never will be."""
        if not self._keypoints:
            return None
        since_s, keypoints, vector = self._keypoints[0]
        seq = keypoints.seq
        frame, image = self._frames.get(seq, (None, None))
        if frame is None and not self._is_lost(seq, since_s):
            return None  # keypoints may be here before their picture
        self._keypoints.popleft()
        while self._frames and next(iter(self._frames)) <= seq:
            self.drop_oldest()
        return Pair(keypoints, vector, frame, image)

    def _is_lost(self, seq: int, since_s: float) -> bool:
        return any(later > seq for later in self._frames) or time.monotonic() - since_s > LATE_S

    def drop_oldest(self) -> None:
        _, (_, image) = self._frames.popitem(last=False)
        self.held_bytes -= _bytes(image)


def limit_memory(pairings: Collection[FramePairing], most_bytes: int = MEMORY_LIMIT_BYTES) -> None:
    """Drop pictures until all together hold no more than that; whoever holds most loses its oldest."""
    while sum(pairing.held_bytes for pairing in pairings) > most_bytes:
        max(pairings, key=lambda pairing: pairing.held_bytes).drop_oldest()


def _bytes(image: NDArray[np.uint8] | None) -> int:
    return HEADER_BYTES + (0 if image is None else image.nbytes)
