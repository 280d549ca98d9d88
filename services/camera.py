"""A camera, file, address, folder or test card in; frames, numbered and timed, to the hub out."""

import os
import time
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from common import RESTARTED, picture, sources, watchdog
from common.conductor import Conductor
from common.config import PREFIX, Settings
from common.frame_requests import FrameGiver
from common.handover import Handover
from common.messages import Frame, Message
from common.service import Service, log, main
from common.sources import Shot, Source, SourceLost

RETRY_S = (0.5, 10.0)  # first and longest pause before a lost camera is opened again
WAIT_MS = 100


class Camera(Service):
    """Waits for the others where the source has a beginning, shows the stream, waits for the others to finish."""

    topics = ("status",)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._options = settings.camera
        self._giver: FrameGiver | None = None
        self._handover: Handover | None = None
        self._source: Source | None = None
        self._conductor = Conductor(self._options.wait_for, self._options.wait_s)
        self._phase = self._wait_for_others
        self._last: Frame | None = None
        self._first_ns = 0
        self._retry_s, self._retry_at = RETRY_S[0], 0.0

    def setup(self) -> None:
        self._giver = FrameGiver(self.settings.bus.endpoints)
        self._handover = Handover(self._giver)
        try:
            self._source = sources.choose(self._options, again=RESTARTED in os.environ)
        except SourceLost as lost:
            self._lose(lost)
        else:
            if self._options.source == "auto" and self._source.scripted:  # after a crash it is that again
                watchdog.hand_on(f"{PREFIX}CAMERA__SOURCE", "testcard")
            log.info("%s shows %s", self._options.stream, self._source.name)
        if not (self._source and self._source.scripted):
            self._begin()

    def step(self, inbox: list[Message]) -> Iterable[Message]:
        self._conductor.hear(inbox)
        self._phase()
        return ()

    # --- the three phases of a stream -------------------------------------------------------------

    def _wait_for_others(self) -> None:
        if self._conductor.may_begin():
            self._begin()
        else:
            self.health.state, self.health.detail = "waiting", self._conductor.detail

    def _begin(self) -> None:
        if self._source:
            self.health.state, self.health.detail = "running", ""
        self.poll_ms = 0
        self._phase = self._show

    def _show(self) -> None:
        assert self._handover is not None
        if self._source is None:
            self._reopen()
        elif self._source.live or (self._handover.has_room() and not self._is_held_up()):
            try:
                shot = self._source.read()
            except SourceLost as lost:
                self._lose(lost)
                return
            if shot is None or self._is_over(shot):
                self._end()
            elif self._is_due(shot):
                self._hand_in(shot)

    def _is_held_up(self) -> bool:
        """Whether a reader that must not lose a file's frames needs time; waits a little where it does."""
        held_up = self._conductor.is_held_up()
        if held_up:
            time.sleep(WAIT_MS / 1000)
        return held_up

    def _wait_for_finish(self) -> None:
        """The end of this process ends the whole pipeline, so the others must have dealt with the last frame."""
        assert self._handover is not None
        self.over = self._conductor.may_end("camera", [self._options.stream], self._handover.is_over())
        self.health.detail = self._conductor.detail

    # --- frames -----------------------------------------------------------------------------------

    def _is_over(self, shot: Shot) -> bool:
        limit_s = self._options.seconds
        return bool(self._last and limit_s and shot.captured_ns - self._first_ns >= limit_s * 1e9)

    def _is_due(self, shot: Shot) -> bool:
        """Whether the frame-rate cap lets it through; a tenth of a period of grace for uneven clocks."""
        cap = self._options.fps
        return not (cap and self._last) or shot.captured_ns - self._last.captured_ns >= 0.9e9 / cap

    def _hand_in(self, shot: Shot) -> None:
        assert self._source is not None
        if self._last is None:
            self._first_ns = shot.captured_ns
        image = picture.arrange(shot.picture, self._options)
        height, width = image.shape[:2]
        quality = self._options.jpeg_quality
        header = Frame(
            stream=self._options.stream,
            seq=self._last.seq + 1 if self._last else 0,
            captured_ns=shot.captured_ns,
            entered_ns=time.time_ns(),
            live=self._source.live,
            width=width,
            height=height,
            fps=min(self._source.fps, self._options.fps or self._source.fps),
            encoding="jpeg" if quality else "raw",
        )
        self._last = header
        self._give(header, picture.to_jpeg(image, quality) if quality else image)
        self.health.worked_on(header.entered_ns)

    def _end(self) -> None:
        assert self._source is not None
        last, live = self._last, self._source.live
        self._give(
            Frame(
                stream=self._options.stream,
                seq=last.seq + 1 if last else 0,
                captured_ns=last.captured_ns if last else 0,
                entered_ns=time.time_ns(),
                live=live,
                end=True,
            ),
            None,
        )
        log.info("%s ended after %d frames", self._options.stream, last.seq + 1 if last else 0)
        self._source.close()
        self.health.finished.add(self._options.stream)
        self.poll_ms = WAIT_MS
        self._conductor.last_frame_is_given()
        self._phase = self._wait_for_finish

    def _give(self, header: Frame, image: NDArray[np.uint8] | None) -> None:
        assert self._giver is not None and self._handover is not None
        if not header.live or header.end:
            self._handover.add(header, image)
        elif not self._giver.give(header, image):
            self.health.dropped += 1

    # --- a camera that is lost --------------------------------------------------------------------

    def _lose(self, lost: SourceLost) -> None:
        if self._source:
            self._source.close()
        self._source = None
        self.health.state, self.health.detail = "waiting", f"{lost}; trying again in {self._retry_s:.1f} s"
        log.warning("%s: %s", self._options.stream, self.health.detail)
        self._retry_at = time.monotonic() + self._retry_s
        self._retry_s = min(2 * self._retry_s, RETRY_S[1])

    def _reopen(self) -> None:
        if time.monotonic() < self._retry_at:
            time.sleep(min(WAIT_MS / 1000, self._retry_at - time.monotonic()))
            return
        watchdog.beat(watchdog.LONG_S)
        try:
            self._source = sources.choose(self._options, again=True)
        except SourceLost as lost:
            self._lose(lost)
            return
        log.warning("%s: %s is back", self._options.stream, self._source.name)
        self._retry_s = RETRY_S[0]
        self.health.state, self.health.detail = "running", ""

    def close(self) -> None:
        if self._source:
            self._source.close()
        if self._giver:
            self._giver.close()


if __name__ == "__main__":
    main(Camera, "camera")
