"""Collect the messages of a stream, and draw them on its frames."""

import time
from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.bus.messages import Action, Frame, Header, Keypoints, Message, Prediction, Recording
from common.clock import now_ns
from common.frames.pairing import FramePairing
from common.video import drawing

SENTENCE_WORDS: Final = 12
RATE_FRAMES: Final = 30
LINGER_NS: Final = 2_000_000_000  # the final verdict stays long enough for a person who is just getting up


class View:
    """One stream from one start to its end, or to the next start."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.pairing = FramePairing()
        self.ended = False
        self.missed = 0  # keypoints that were lost
        self._next_seq: int | None = None
        self._probabilities: dict[str, float] = {}
        self._recording: Recording | None = None
        self._sentence: deque[Action] = deque(maxlen=SENTENCE_WORDS)
        self._shown_s: deque[float] = deque(maxlen=RATE_FRAMES)

    def update(self, message: Message, shown: bool) -> None:
        """Add a message of the stream; images are kept only if they are to be shown."""
        header, array = message
        if isinstance(header, Keypoints):
            self.ended = header.end_of_stream
        if header.end_of_stream:
            return
        if isinstance(header, Frame):
            self.pairing.add_frame(header, array if shown else None)
        elif isinstance(header, Keypoints) and array is not None:
            self.missed += max(0, header.seq - self._next_seq) if self._next_seq is not None else 0
            self._next_seq = header.seq + 1
            self.pairing.add_keypoints(header, array)
        elif isinstance(header, Prediction):
            self._probabilities = header.smoothed
        elif isinstance(header, Recording):
            self._recording = header
        elif isinstance(header, Action):
            if header.event == "ended" and self._active():
                self._sentence.pop()  # replaced by its end, with the final verdict
            self._sentence.append(header)

    def is_drawn(self) -> bool:
        """Return whether the stream has ended and all of it is drawn."""
        return self.ended and not self.pairing.waiting

    def draw(self, image: NDArray[np.uint8], header: Header, vector: NDArray[np.float32], missed: int) -> None:
        """Draw on a BGR image what is known of it, and how many frames were missed."""
        self._shown_s.append(time.monotonic())
        drawing.draw_skeleton(image, vector)
        drawing.draw_sentence(image, self._sentence)
        if action := self._current_or_recent(header.captured_ns):
            drawing.draw_verdict(image, action)
        active = self._active()
        drawing.draw_probabilities(image, self._probabilities, active.label if active else None)
        if self._recording:
            drawing.draw_recording(image, self._recording)
        age_ms = (now_ns() - header.ingested_ns) / 1e6
        drawing.draw_status(image, f"{self._rate():.1f} frames/s   {age_ms:.0f} ms   {missed} missed")

    def _active(self) -> Action | None:
        """Return the action that is under way."""
        return self._sentence[-1] if self._sentence and self._sentence[-1].event == "started" else None

    def _current_or_recent(self, captured_ns: int) -> Action | None:
        """Return the action that is under way, or ended less than LINGER_NS before this frame."""
        is_recent = self._sentence and captured_ns - self._sentence[-1].captured_ns < LINGER_NS
        return self._sentence[-1] if is_recent else self._active()

    def _rate(self) -> float:
        span = self._shown_s[-1] - self._shown_s[0] if len(self._shown_s) > 1 else 0.0
        return (len(self._shown_s) - 1) / span if span else 0.0
