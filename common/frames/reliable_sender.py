"""Send the frames of a file to the hub, and resend them until their keypoints are published."""

import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.bus.messages import Frame
from common.frames.sockets import FrameProducer

QUEUED: Final = 8  # frames that may wait in the hub, so that extractors never wait for the decoder
WITH_EXTRACTOR: Final = 2  # frames that each extractor may have
RESEND_S: Final = 2.0  # a hub that was restarted has lost the frames that waited there
WAIT_MS: Final = 100


class ReliableSender:
    """Holds the frames of one file, and its end, until they are acknowledged."""

    def __init__(self, producer: FrameProducer, extractors: int = 1) -> None:
        self._producer = producer
        self._high, self._low = QUEUED + WITH_EXTRACTOR * extractors, QUEUED // 2 + WITH_EXTRACTOR * extractors
        self._unacked: dict[int, tuple[Frame, NDArray[np.uint8] | None]] = {}
        self._sent_seq = -1
        self._progress_at = 0.0  # when a frame was sent or acknowledged
        self._refill = True

    def send(self, header: Frame, image: NDArray[np.uint8] | None) -> None:
        """Send the next frame, or the end of the stream (without an image)."""
        self._unacked[header.seq] = header, image
        self._send_pending()

    def can_send(self) -> bool:
        """Return whether the next frame may be sent, after a short wait if not; raises Refused."""
        self._receive_acks(0 if self._refill else WAIT_MS)
        if len(self._unacked) >= self._high:
            self._refill = False
        elif len(self._unacked) <= self._low:  # several at once, since each wake-up costs CPU time
            self._refill = True
        return self._refill

    def all_acked(self) -> bool:
        """Return whether everything is published, after a short wait if not; raises Refused."""
        self._receive_acks(WAIT_MS if self._unacked else 0)
        return not self._unacked

    def _receive_acks(self, timeout_ms: int) -> None:
        for acked in self._producer.acked(timeout_ms):
            self._progress_at = time.monotonic()
            for seq, (header, _) in list(self._unacked.items()):
                if header.start == acked.start and seq <= acked.seq:
                    del self._unacked[seq]
        if self._unacked and time.monotonic() - self._progress_at > RESEND_S:
            self._sent_seq = -1
        self._send_pending()

    def _send_pending(self) -> None:
        """Send strictly in order: the hub ignores a frame that arrives after a later one."""
        for seq, (header, image) in self._unacked.items():
            if seq > self._sent_seq:
                if not self._producer.send(header, image, timeout_ms=WAIT_MS):
                    return
                self._sent_seq, self._progress_at = seq, time.monotonic()
