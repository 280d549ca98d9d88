"""Draw keypoints, probabilities and actions on frames, and show them in a window, a page and a video file."""

import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from itertools import count, takewhile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from common.bus.messages import Frame, Header, Message
from common.config import Settings
from common.frames.pairing import limit_memory
from common.runtime import watchdog
from common.runtime.service import Service, log, main
from common.video.image import Decoder
from common.video.mjpeg import MjpegServer
from common.video.view import View
from common.video.writer import VideoWriter

DRAW_S = 0.3  # of one step: the heartbeat must come every second, whatever waits to be drawn


class Overlay(Service):
    """Draws on the frame that the keypoints came from; skips frames rather than lag, unless it writes a video."""

    topics = ("keypoints", "frames", "prediction", "action", "recording")

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._options = settings.overlay
        self._window = self._options.window is True or (self._options.window == "auto" and _has_display())
        self._server: MjpegServer | None = None
        self._views: dict[str, View] = {}
        self._known_starts: defaultdict[str, set[int]] = defaultdict(set)  # by stream
        self._videos: dict[str, VideoWriter] = {}  # that are open
        self._paths: dict[str, Path] = {}  # of the last video of each stream
        self._failed: set[str] = set()  # streams whose video cannot be written
        self._decode = Decoder()
        self._lost = 0  # frames

    def tracked_topics(self) -> tuple[str, ...]:
        """Return none."""
        return ()  # what has arrived may wait: it counts when it is drawn

    def setup(self) -> None:
        """Start the page."""
        if self._options.page:
            self._server = self.closing(MjpegServer(self._options.page_port))
            log.info("live at %s", self._server.url)

    def step(self, inbox: list[Message]) -> Iterable[Message]:
        """Update the views, and show the frames that are due."""
        for stream, view in self._views.items():
            if view.is_drawn():
                self._close_video(stream)
                self.health.ended_streams.add(stream)
            else:
                self.health.ended_streams.discard(stream)
        for message in inbox:
            if view_of := self._view(message.header):
                view_of.update(message, self._is_shown(message.header.stream))
        self._show_what_is_due()
        limit_memory([view.pairing for view in self._views.values()])
        self.health.missed = self._lost + sum(view.missed for view in self._views.values())
        return ()

    def _view(self, header: Header) -> View | None:
        """Return the view of a stream, a new one after a new start; None for messages of an earlier start."""
        view, known_starts = self._views.get(header.stream), self._known_starts[header.stream]
        if view is None or header.start not in known_starts:
            if view is not None:
                self._lost += view.missed
            if not header.live:
                self._close_video(header.stream)  # a file from its first frame: its video is overwritten
            view = self._views[header.stream] = View(header.start)
            known_starts.add(header.start)
        return view if header.start == view.start else None

    def _show_what_is_due(self) -> None:
        """Show one frame of each stream in turn, until nothing waits or the time is up."""
        until_s, more = time.monotonic() + DRAW_S, True
        while more and time.monotonic() < until_s:
            more = sum(self._show_next(stream, view) for stream, view in self._views.items()) > 0
        self.poll_ms = 0 if more else Service.poll_ms

    def _show_next(self, stream: str, view: View) -> bool:
        """Show the oldest pair, or skip it where nobody would see it; False if none is due."""
        pair = view.pairing.next()
        if pair is None:
            return False
        if pair.frame is None:
            self._lost += 1
        elif pair.image is not None and self._is_shown(stream) and not self._may_skip(view):
            image = self._decode(pair.frame, pair.image)
            if image is None:
                self._lost += 1
            else:
                image = image.copy()
                view.draw(image, pair.keypoints, pair.vector, self.health.missed)
                self._show(stream, pair.frame, image)
        self.health.record_latency(pair.keypoints.ingested_ns)
        return True

    def _is_shown(self, stream: str) -> bool:
        """Whether anybody would see its frames now."""
        return bool(self._window or self._options.video or (self._server and self._server.has_viewers(stream)))

    def _may_skip(self, view: View) -> bool:
        return not self._options.video and view.pairing.waiting > 0

    def _show(self, stream: str, frame: Frame, image: NDArray[np.uint8]) -> None:
        if self._options.video and stream not in self._failed:
            self._write_video(stream, frame, image)
        if self._server and self._server.has_viewers(stream):
            self._server.publish(stream, image)
        if self._window:
            self._show_window(stream, image)

    # --- the video ----------------------------------------------------------------------------------

    def _write_video(self, stream: str, header: Frame, image: NDArray[np.uint8]) -> None:
        try:
            if stream not in self._videos:
                path = self._path(stream, header.live)
                path.parent.mkdir(parents=True, exist_ok=True)
                size = image.shape[1], image.shape[0]
                self._paths[stream], self._videos[stream] = path, VideoWriter(path, header.fps, size, header.live)
            self._videos[stream].write(image, header.captured_ns)
        except OSError as error:
            self.health.detail = f"the video ends here: {error}"
            log.error("%s: %s", stream, self.health.detail)
            self._close_video(stream)
            self._failed.add(stream)

    def _path(self, stream: str, live: bool) -> Path:
        """Return a free name for the video of a live stream; a file that starts over keeps the name it had."""
        if not live and stream in self._paths:
            return self._paths[stream]
        path = Path(str(self._options.video))
        stem = path.stem if stream == self.settings.camera.stream else f"{path.stem}-{stream}"
        names = (path.with_name(f"{stem}{f'-{n}' if n > 1 else ''}{path.suffix}") for n in count(1))
        taken = list(takewhile(Path.exists, names))
        if taken and not live and watchdog.is_restart():
            return taken[-1]  # of the process that crashed
        return path.with_name(f"{stem}{f'-{len(taken) + 1}' if taken else ''}{path.suffix}")

    def _close_video(self, stream: str) -> None:
        if video := self._videos.pop(stream, None):
            try:
                video.close()
            except OSError as error:
                log.error("%s: %s", video.path, error.strerror)
            log.info("%s: %d frames", video.path, video.frames)

    # --- the window ---------------------------------------------------------------------------------

    def _show_window(self, stream: str, image: NDArray[np.uint8]) -> None:
        try:
            cv2.imshow(stream, image)
            if cv2.waitKey(1) & 0xFF in (27, ord("q")):
                self.done = True
        except cv2.error as error:
            self._window = False
            log.error("No window can be shown (%s); set overlay.window=false, the page shows the same.", error.err)

    def close(self) -> None:
        """Close videos and the page."""
        for stream in list(self._videos):
            self._close_video(stream)
        super().close()


def _has_display() -> bool:
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


if __name__ == "__main__":
    main(Overlay, "overlay")
