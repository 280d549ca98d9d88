"""Frames that must not be lost in; each handed to the hub, again if need be, until an extractor has taken it."""

import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.frame_requests import FrameGiver
from common.messages import Frame

AHEAD: Final = 8  # frames that may wait at the hub, so that extractors never wait for the decoder
RESEND_S: Final = 2.0  # a hub that was restarted has lost what waited there
WAIT_MS: Final = 100


class Handover:
    """The frames of one file that no extractor has taken yet, and its end."""

    def __init__(self, giver: FrameGiver) -> None:
        self._giver = giver
        self._untaken: dict[int, tuple[Frame, NDArray[np.uint8] | None]] = {}
        self._given_seq, self._given_at = -1, 0.0
        self._refill = True

    def add(self, header: Frame, image: NDArray[np.uint8] | None) -> None:
        """The next frame, or the end (no image)."""
        self._untaken[header.seq] = header, image
        self._give()

    def has_room(self) -> bool:
        """Whether the next frame may come; waits a little where it may not."""
        self._hear_what_was_taken(0 if self._refill else WAIT_MS)
        if len(self._untaken) >= AHEAD:
            self._refill = False
        elif len(self._untaken) <= AHEAD // 2:  # several at once: each waking up costs
            self._refill = True
        return self._refill

    def is_over(self) -> bool:
        """Whether everything was taken; waits a little where it was not."""
        self._hear_what_was_taken(WAIT_MS if self._untaken else 0)
        return not self._untaken

    def _hear_what_was_taken(self, timeout_ms: int) -> None:
        for seq in self._giver.taken(timeout_ms):
            self._untaken.pop(seq, None)
        if self._untaken and time.monotonic() - self._given_at > RESEND_S:
            self._given_seq = -1
        self._give()

    def _give(self) -> None:
        """Strictly one after the other: the hub ignores a frame that comes after a later one."""
        for seq, (header, image) in self._untaken.items():
            if seq > self._given_seq:
                if not self._giver.give(header, image, timeout_ms=WAIT_MS):
                    return
                self._given_seq, self._given_at = seq, time.monotonic()
