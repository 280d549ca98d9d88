"""Frames that must not be lost in; each handed to the hub, again if need be, until its keypoints are published."""

import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.bus.messages import Frame
from common.frames.sockets import FrameProducer

QUEUED: Final = 8  # frames that may wait at the hub, so that extractors never wait for the decoder
WITH_EXTRACTOR: Final = 2  # frames that each extractor may have
RESEND_S: Final = 2.0  # a hub that was restarted has lost what waited there
WAIT_MS: Final = 100


class ReliableSender:
    """The frames of one file that are not published yet, and its end."""

    def __init__(self, producer: FrameProducer, extractors: int = 1) -> None:
        self._producer = producer
        self._high, self._low = QUEUED + WITH_EXTRACTOR * extractors, QUEUED // 2 + WITH_EXTRACTOR * extractors
        self._unacked: dict[int, tuple[Frame, NDArray[np.uint8] | None]] = {}
        self._sent_seq = -1
        self._progress_at = 0.0  # when a frame was given or taken
        self._refill = True

    def send(self, header: Frame, image: NDArray[np.uint8] | None) -> None:
        """The next frame, or the end (no image)."""
        self._unacked[header.seq] = header, image
        self._send_pending()

    def can_send(self) -> bool:
        """Whether the next frame may come; waits a little where it may not. Raises Refused."""
        self._receive_acks(0 if self._refill else WAIT_MS)
        if len(self._unacked) >= self._high:
            self._refill = False
        elif len(self._unacked) <= self._low:  # several at once: each waking up costs
            self._refill = True
        return self._refill

    def all_acked(self) -> bool:
        """Whether everything is published; waits a little where it is not. Raises Refused."""
        self._receive_acks(WAIT_MS if self._unacked else 0)
        return not self._unacked

    def _receive_acks(self, timeout_ms: int) -> None:
        for taken in self._producer.acked(timeout_ms):
            self._progress_at = time.monotonic()
            for seq, (header, _) in list(self._unacked.items()):
                if header.start == taken.start and seq <= taken.seq:
                    del self._unacked[seq]
        if self._unacked and time.monotonic() - self._progress_at > RESEND_S:
            self._sent_seq = -1
        self._send_pending()

    def _send_pending(self) -> None:
        """Strictly one after the other: the hub ignores a frame that comes after a later one."""
        for seq, (header, image) in self._unacked.items():
            if seq > self._sent_seq:
                if not self._producer.send(header, image, timeout_ms=WAIT_MS):
                    return
                self._sent_seq, self._progress_at = seq, time.monotonic()
