"""Frames that must not be lost in; each handed to the hub, again if need be, until its keypoints are published."""

import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.bus.messages import Frame
from common.frames.sockets import FrameProducer

READY: Final = 8  # frames that may wait at the hub, so that extractors never wait for the decoder
WITH_EXTRACTOR: Final = 2  # frames that each extractor may have
RESEND_S: Final = 2.0  # a hub that was restarted has lost what waited there
WAIT_MS: Final = 100


class Handover:
    """The frames of one file that are not published yet, and its end."""

    def __init__(self, giver: FrameProducer, extractors: int = 1) -> None:
        self._giver = giver
        self._most, self._few = READY + WITH_EXTRACTOR * extractors, READY // 2 + WITH_EXTRACTOR * extractors
        self._kept: dict[int, tuple[Frame, NDArray[np.uint8] | None]] = {}
        self._given_seq = -1
        self._moved_at = 0.0  # when a frame was given or taken
        self._refill = True

    def add(self, header: Frame, image: NDArray[np.uint8] | None) -> None:
        """The next frame, or the end (no image)."""
        self._kept[header.seq] = header, image
        self._give()

    def has_room(self) -> bool:
        """Whether the next frame may come; waits a little where it may not. Raises Refused."""
        self._hear_what_was_taken(0 if self._refill else WAIT_MS)
        if len(self._kept) >= self._most:
            self._refill = False
        elif len(self._kept) <= self._few:  # several at once: each waking up costs
            self._refill = True
        return self._refill

    def is_over(self) -> bool:
        """Whether everything is published; waits a little where it is not. Raises Refused."""
        self._hear_what_was_taken(WAIT_MS if self._kept else 0)
        return not self._kept

    def _hear_what_was_taken(self, timeout_ms: int) -> None:
        for taken in self._giver.acked(timeout_ms):
            self._moved_at = time.monotonic()
            for seq, (header, _) in list(self._kept.items()):
                if header.start == taken.start and seq <= taken.seq:
                    del self._kept[seq]
        if self._kept and time.monotonic() - self._moved_at > RESEND_S:
            self._given_seq = -1
        self._give()

    def _give(self) -> None:
        """Strictly one after the other: the hub ignores a frame that comes after a later one."""
        for seq, (header, image) in self._kept.items():
            if seq > self._given_seq:
                if not self._giver.send(header, image, timeout_ms=WAIT_MS):
                    return
                self._given_seq, self._moved_at = seq, time.monotonic()
