"""Read frames from a camera, file, address, folder or test card, number and time them, and send them to the hub."""

import math
import time
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from common.bus.messages import Frame, Message
from common.bus.wire import MAX_MESSAGE_BYTES
from common.clock import now_ns
from common.config import PREFIX, Settings
from common.errors import UserError
from common.frames.reliable_sender import ReliableSender
from common.frames.sockets import FrameProducer, Refused
from common.runtime import watchdog
from common.runtime.run_control import RunControl
from common.runtime.service import Service, log, main
from common.video import sources
from common.video.image import apply_camera_settings, to_jpeg
from common.video.sources import CapturedFrame, Source, SourceLost

RETRY_S = (0.5, 10.0)  # first and longest pause before a lost camera is opened again
# A camera whose name another one has gives up after this: until then the other one may turn out to be dead.
REFUSED_S = 15.0
WAIT_MS = 100


class Camera(Service):
    """Waits for the readers where the source has a beginning, sends the stream, waits until all have processed it."""

    topics = ("status",)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._options = settings.camera
        self._source: Source | None = None
        self._run_control = RunControl(settings)
        self._phase = self._wait_for_others
        self._last: Frame | None = None
        self._start_ns, self._first_ns = now_ns(), 0
        self._refused_s = (-math.inf, -math.inf)  # when the hub refused this camera first, and last
        self._retry_s, self._retry_at = RETRY_S[0], 0.0

    def setup(self) -> None:
        """Connect, and open the source."""
        self._producer = self.closing(FrameProducer(self.settings.bus.endpoints))
        self._sender = self._new_sender()
        try:
            self._source = sources.open_source(self._options, again=watchdog.is_restart())
        except SourceLost as lost:
            self._on_lost(lost)
        else:
            if self._options.source == "auto" and self._source.waits_for_readers:  # and so after a crash
                watchdog.pass_to_successor(f"{PREFIX}CAMERA__SOURCE", "testcard")
            log.info("%s shows %s", self._options.stream, self._source.name)
        if not (self._source and self._source.waits_for_readers):
            self._begin()

    def step(self, inbox: list[Message]) -> Iterable[Message]:
        """Work on the current phase: wait for readers, send a frame, or wait for the end."""
        self._run_control.on_messages(inbox)
        try:
            self._phase()
        except Refused:
            self._on_refused()
        return ()

    # --- the three phases of a stream -------------------------------------------------------------

    def _wait_for_others(self) -> None:
        if self._run_control.ready():
            self._begin()
        else:
            self.health.state, self.health.detail = "waiting", self._run_control.detail

    def _begin(self) -> None:
        if self._source:
            self.health.state, self.health.detail = "running", ""
        self.poll_ms = 0
        self._phase = self._show

    def _show(self) -> None:
        if self._source is None:
            self._reopen()
        elif self._source.live or (
            not self._starts_over() and self._sender.can_send() and not self._is_backpressured()
        ):
            try:
                frame = self._source.read()
            except SourceLost as lost:
                self._on_lost(lost)
                return
            if frame is None or self._reached_limit(frame):
                self._end(self._source)
            elif self._is_due(frame):
                self._send_frame(self._source, frame)

    def _is_backpressured(self) -> bool:
        """Whether a reader that must not lose a file's frames is behind; waits a little if so."""
        held_up = self._run_control.backpressured()
        self.health.detail = self._run_control.detail
        if held_up:
            time.sleep(WAIT_MS / 1000)
        return held_up

    def _drain(self) -> None:
        """End when all readers have processed the last frame: the end of this process ends the whole pipeline."""
        if self._starts_over():
            return
        stream = self._options.stream
        if stream in self.health.ended_streams or self._run_control.drained([stream], self._sender.all_acked()):
            self.health.ended_streams.add(stream)
            self.done = not self._run_control.others_running("camera")
        self.health.detail = self._run_control.detail

    def _starts_over(self) -> bool:
        """Start a file over if a process that held state of the stream has crashed."""
        source = self._source
        if source is None or source.live or self._options.loop:
            return False
        replaced = self._run_control.replaced_readers()
        if replaced:
            log.warning(
                "%s starts over: %s has crashed, and its state of the stream is lost", self._options.stream, replaced
            )
            source.close()
            self._source = sources.open_source(self._options)
            self._sender = self._new_sender()
            self._last, self._start_ns = None, now_ns()
            self.health.ended_streams.discard(self._options.stream)
            self._run_control.restart()
            self.poll_ms, self._phase = WAIT_MS, self._wait_for_others
        return bool(replaced)

    def _new_sender(self) -> ReliableSender:
        return ReliableSender(self._producer, self._options.wait_for.count("keypoints"))

    def _on_refused(self) -> None:
        """Handle that the hub has another camera of this name, which is alive."""
        now = time.monotonic()
        sentence = f"Another camera sends the stream {self._options.stream!r} already: name this one with camera.stream"
        first, last = self._refused_s
        if now - last > REFUSED_S:
            log.warning("%s.", sentence)
            first = now
        elif now - first > REFUSED_S:
            raise UserError(f"{sentence}, or stop the other.")
        self._refused_s = first, now

    # --- frames -----------------------------------------------------------------------------------

    def _reached_limit(self, frame: CapturedFrame) -> bool:
        limit_s = self._options.seconds
        return bool(self._last and limit_s and frame.captured_ns - self._first_ns >= limit_s * 1e9)

    def _is_due(self, frame: CapturedFrame) -> bool:
        """Whether the frame-rate limit admits it, with a tolerance of a tenth of a period for uneven clocks."""
        cap = self._options.fps
        return not (cap and self._last) or frame.captured_ns - self._last.captured_ns >= 0.9e9 / cap

    def _send_frame(self, source: Source, frame: CapturedFrame) -> None:
        if self._last is None:
            self._first_ns = frame.captured_ns
        image = apply_camera_settings(frame.image, self._options)
        height, width = image.shape[:2]
        quality = self._options.jpeg_quality
        payload = to_jpeg(image, quality) if quality else image
        self._check_size(payload.nbytes, width, height)
        header = Frame(
            stream=self._options.stream,
            seq=self._last.seq + 1 if self._last else 0,
            captured_ns=frame.captured_ns,
            ingested_ns=now_ns(),
            start=self._start_ns,
            live=source.live,
            width=width,
            height=height,
            fps=min(source.fps, self._options.fps or source.fps),
            encoding="jpeg" if quality else "raw",
        )
        self._last = header
        self._send(header, payload)
        self.health.record_latency(header.ingested_ns)

    def _check_size(self, size: int, width: int, height: int) -> None:
        if size > MAX_MESSAGE_BYTES:
            most = int(width * math.sqrt(MAX_MESSAGE_BYTES / size))
            raise UserError(
                f"{self._options.source}: a frame of {width} x {height} pixels takes {size / 2**20:.0f} MiB, and the "
                f"bus carries {MAX_MESSAGE_BYTES // 2**20}: make it smaller with camera.width={most} or less."
            )

    def _end(self, source: Source) -> None:
        last, live = self._last, source.live
        self._send(
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
        source.close()
        self.poll_ms = WAIT_MS
        self._run_control.last_frame_sent(live)
        self._phase = self._drain

    def _send(self, header: Frame, image: NDArray[np.uint8] | None) -> None:
        if not header.live or header.end_of_stream:
            self._sender.send(header, image)
            return
        self.health.dropped += not self._producer.send(header, image)
        self._producer.acked()  # nothing is kept, but it may be refused

    # --- a lost camera ----------------------------------------------------------------------------

    def _on_lost(self, lost: SourceLost) -> None:
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
        watchdog.beat(watchdog.LONG_TIMEOUT_S)
        try:
            self._source = sources.open_source(self._options, again=True)
        except SourceLost as lost:
            self._on_lost(lost)
            return
        log.warning("%s: %s is back", self._options.stream, self._source.name)
        self._retry_s = RETRY_S[0]
        self.health.state, self.health.detail = "running", ""

    def close(self) -> None:
        """Close the source and the connection."""
        if self._source:
            self._source.close()
        super().close()


if __name__ == "__main__":
    main(Camera, "camera")
