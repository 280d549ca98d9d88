"""A camera, file, address, folder or test card in; frames, numbered and timed, to the hub out."""

import math
import os
import time
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from common import RESTARTED
from common.bus.messages import Frame, Message
from common.bus.wire import MAX_MESSAGE_BYTES
from common.clock import now_ns
from common.config import PREFIX, Settings
from common.errors import UserError
from common.frames.reliable_sender import Handover
from common.frames.sockets import FrameProducer, Refused
from common.runtime import watchdog
from common.runtime.run_control import Conductor
from common.runtime.service import Service, log, main
from common.video import sources
from common.video.image import arrange, to_jpeg
from common.video.sources import Shot, Source, SourceLost

RETRY_S = (0.5, 10.0)  # first and longest pause before a lost camera is opened again
REFUSED_S = 15.0  # a camera whose name another one has gives up after this: until then that one may be found dead
WAIT_MS = 100


class Camera(Service):
    """Waits for the others where the source has a beginning, shows the stream, waits for the others to finish."""

    topics = ("status",)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._options = settings.camera
        self._giver: FrameProducer | None = None
        self._handover: Handover | None = None
        self._source: Source | None = None
        self._conductor = Conductor(settings)
        self._phase = self._wait_for_others
        self._last: Frame | None = None
        self._start_ns, self._first_ns = now_ns(), 0
        self._refused_s = (-math.inf, -math.inf)  # when the hub refused this camera first, and last
        self._retry_s, self._retry_at = RETRY_S[0], 0.0

    def setup(self) -> None:
        self._giver = FrameProducer(self.settings.bus.endpoints)
        self._handover = self._new_handover()
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
        try:
            self._phase()
        except Refused:
            self._give_way()
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
        elif self._source.live or (not self._starts_over() and self._handover.has_room() and not self._is_held_up()):
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
        self.health.detail = self._conductor.detail
        if held_up:
            time.sleep(WAIT_MS / 1000)
        return held_up

    def _wait_for_finish(self) -> None:
        """The end of this process ends the whole pipeline, so the others must have dealt with the last frame."""
        assert self._handover is not None
        if self._starts_over():
            return
        stream = self._options.stream
        if stream in self.health.finished or self._conductor.have_finished([stream], self._handover.is_over()):
            self.health.finished.add(stream)
            self.over = not self._conductor.others_go_on("camera")
        self.health.detail = self._conductor.detail

    def _starts_over(self) -> bool:
        """Begin a file anew where a process has crashed that knew what came before."""
        assert self._source is not None
        endless = self._source.live or self._options.loop
        replaced = "" if endless else self._conductor.must_start_over()
        if replaced:
            log.warning(
                "%s starts over: %s has crashed, and what it knew of the stream is lost", self._options.stream, replaced
            )
            self._source.close()
            self._source = sources.choose(self._options)
            self._handover = self._new_handover()
            self._last, self._start_ns = None, now_ns()
            self.health.finished.discard(self._options.stream)
            self._conductor.starts_over()
            self.poll_ms, self._phase = WAIT_MS, self._wait_for_others
        return bool(replaced)

    def _new_handover(self) -> Handover:
        assert self._giver is not None
        return Handover(self._giver, self._options.wait_for.count("keypoints"))

    def _give_way(self) -> None:
        """The hub has another camera of this name, which lives."""
        now = time.monotonic()
        sentence = f"Another camera shows the stream {self._options.stream!r} already: name this one with camera.stream"
        first, last = self._refused_s
        if now - last > REFUSED_S:
            log.warning("%s.", sentence)
            first = now
        elif now - first > REFUSED_S:
            raise UserError(f"{sentence}, or stop the other.")
        self._refused_s = first, now

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
        image = arrange(shot.picture, self._options)
        height, width = image.shape[:2]
        quality = self._options.jpeg_quality
        payload = to_jpeg(image, quality) if quality else image
        self._check_size(payload.nbytes, width, height)
        header = Frame(
            stream=self._options.stream,
            seq=self._last.seq + 1 if self._last else 0,
            captured_ns=shot.captured_ns,
            ingested_ns=now_ns(),
            start=self._start_ns,
            live=self._source.live,
            width=width,
            height=height,
            fps=min(self._source.fps, self._options.fps or self._source.fps),
            encoding="jpeg" if quality else "raw",
        )
        self._last = header
        self._give(header, payload)
        self.health.worked_on(header.ingested_ns)

    def _check_size(self, size: int, width: int, height: int) -> None:
        if size > MAX_MESSAGE_BYTES:
            most = int(width * math.sqrt(MAX_MESSAGE_BYTES / size))
            raise UserError(
                f"{self._options.source}: a picture of {width} x {height} pixels takes {size / 2**20:.0f} MiB, and the "
                f"bus carries {MAX_MESSAGE_BYTES // 2**20}: make it smaller with camera.width={most} or less."
            )

    def _end(self) -> None:
        assert self._source is not None
        last, live = self._last, self._source.live
        self._give(
            Frame(
                stream=self._options.stream,
                seq=last.seq + 1 if last else 0,
                captured_ns=last.captured_ns if last else 0,
                ingested_ns=now_ns(),
                start=self._start_ns,
                live=live,
                end_of_stream=True,
            ),
            None,
        )
        log.info("%s ended after %d frames", self._options.stream, last.seq + 1 if last else 0)
        self._source.close()
        self.poll_ms = WAIT_MS
        self._conductor.last_frame_is_given(live)
        self._phase = self._wait_for_finish

    def _give(self, header: Frame, image: NDArray[np.uint8] | None) -> None:
        assert self._giver is not None and self._handover is not None
        if not header.live or header.end_of_stream:
            self._handover.add(header, image)
            return
        self.health.dropped += not self._giver.send(header, image)
        self._giver.acked()  # nothing of it is kept, but it may be refused

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
