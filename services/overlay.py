"""Frames and all that is known about them in; a window, a video file and a page that show them out."""

import os
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from common import drawing, picture
from common.config import Settings
from common.messages import Action, Frame, Keypoints, Message, Prediction, Recording
from common.page import Page
from common.service import Service, log, main
from common.video import VideoFile

WATCH_DEPTH, VIDEO_DEPTH = 32, 300  # frames that may wait for their keypoints
SENTENCE_WORDS = 12
RATE_FRAMES = 30
LINGER_NS = 2_000_000_000  # the last word on an action stays for somebody who is just getting up


@dataclass
class View:
    """What is shown of one stream."""

    frames: OrderedDict[int, Message] = field(default_factory=OrderedDict)
    keypoints: deque[Message] = field(default_factory=deque)
    probabilities: dict[str, float] = field(default_factory=dict)
    recording: Recording | None = None
    sentence: deque[Action] = field(default_factory=lambda: deque(maxlen=SENTENCE_WORDS))
    shown_s: deque[float] = field(default_factory=lambda: deque(maxlen=RATE_FRAMES))
    video: VideoFile | None = None
    failed: bool = False

    def active(self) -> Action | None:
        """What is under way."""
        return self.sentence[-1] if self.sentence and self.sentence[-1].event == "started" else None

    def judged(self, captured_ns: int) -> Action | None:
        """What is under way, or was over just before this frame."""
        just = self.sentence and captured_ns - self.sentence[-1].captured_ns < LINGER_NS
        return self.sentence[-1] if just else self.active()

    def rate(self) -> float:
        span = self.shown_s[-1] - self.shown_s[0] if len(self.shown_s) > 1 else 0.0
        return (len(self.shown_s) - 1) / span if span else 0.0


class Overlay(Service):
    """Draws on the very frame the keypoints came from; skips pictures rather than lag, unless it writes a file."""

    topics = ("keypoints", "frames", "prediction", "action", "recording")

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._options = settings.overlay
        self._window = self._options.window is True or (self._options.window == "auto" and _has_display())
        self._page: Page | None = None
        self._views: dict[str, View] = {}

    def depths(self) -> dict[str, int]:
        return {"frames": VIDEO_DEPTH if self._options.video else WATCH_DEPTH}

    def setup(self) -> None:
        if self._options.page:
            self._page = Page(self._options.page_port)
            log.info("live at %s", self._page.url)

    def step(self, inbox: list[Message]) -> Iterable[Message]:
        for message in inbox:
            self._take(message)
        for stream, view in self._views.items():
            self._show_what_is_due(stream, view)
        # An end only counts when everything before it is drawn, so it comes last.
        for header, _ in inbox:
            if header.end and isinstance(header, Keypoints):
                self._close_video(self._views[header.stream])
        return ()

    def _take(self, message: Message) -> None:
        header = message.header
        view = self._views.setdefault(header.stream, View())
        if header.end:
            return
        if isinstance(header, Frame):
            view.frames[header.seq] = message
            while len(view.frames) > self.depths()["frames"]:
                view.frames.popitem(last=False)
        elif isinstance(header, Keypoints):
            view.keypoints.append(message)
        elif isinstance(header, Prediction):
            view.probabilities = header.smoothed
        elif isinstance(header, Recording):
            view.recording = header
        elif isinstance(header, Action):
            if header.event == "ended" and view.active():
                view.sentence.pop()  # for the last word on it
            view.sentence.append(header)

    def _show_what_is_due(self, stream: str, view: View) -> None:
        wanted = self._window or self._options.video or (self._page and self._page.watched(stream))
        while view.keypoints:
            header, vector = view.keypoints[0]
            assert isinstance(header, Keypoints) and vector is not None
            frame = view.frames.get(header.seq)
            if frame is None and not self._has_passed(view, header.seq):
                return  # keypoints may be here before their frame
            view.keypoints.popleft()
            while view.frames and next(iter(view.frames)) <= header.seq:
                view.frames.popitem(last=False)
            if frame is None:
                self.health.missed += 1
            elif wanted and (self._options.video or not view.keypoints):
                self._show(stream, view, frame, header, vector)

    @staticmethod
    def _has_passed(view: View, seq: int) -> bool:
        return any(later > seq for later in view.frames) or len(view.keypoints) > WATCH_DEPTH

    def _show(self, stream: str, view: View, frame: Message, header: Keypoints, vector: NDArray[np.float32]) -> None:
        assert isinstance(frame.header, Frame) and frame.array is not None
        image = picture.decode(frame.header, frame.array).copy()
        view.shown_s.append(time.monotonic())
        age_ms = (time.time_ns() - header.entered_ns) / 1e6
        drawing.draw_skeleton(image, vector)
        drawing.draw_sentence(image, view.sentence)
        if judged := view.judged(header.captured_ns):
            drawing.draw_verdict(image, judged)
        active = view.active()
        drawing.draw_probabilities(image, view.probabilities, active.label if active else None)
        if view.recording:
            drawing.draw_recording(image, view.recording)
        missed = self.health.missed + self.health.gaps
        drawing.draw_figures(image, f"{view.rate():.1f} frames/s   {age_ms:.0f} ms   {missed} missed")
        if self._options.video and not view.failed:
            self._write_video(stream, view, frame.header, image)
        if self._page and self._page.watched(stream):
            self._page.show(stream, image)
        if self._window:
            self._show_window(stream, image)

    def _write_video(self, stream: str, view: View, header: Frame, image: NDArray[np.uint8]) -> None:
        try:
            if view.video is None:
                path = _free(Path(str(self._options.video)), stream, first=len(self._views) == 1)
                path.parent.mkdir(parents=True, exist_ok=True)
                view.video = VideoFile(path, header.fps, (header.width, header.height), header.live)
            view.video.write(image, header.captured_ns)
        except OSError as error:
            self.health.detail = f"the video ends here: {error}"
            log.error("%s: %s", stream, self.health.detail)
            self._close_video(view)
            view.failed = True

    def _show_window(self, stream: str, image: NDArray[np.uint8]) -> None:
        try:
            cv2.imshow(stream, image)
            if cv2.waitKey(1) & 0xFF in (27, ord("q")):
                self.over = True
        except cv2.error as error:
            self._window = False
            log.error("No window can be shown (%s); set overlay.window=false, the page shows the same.", error.err)

    @staticmethod
    def _close_video(view: View) -> None:
        if view.video:
            view.video.close()
            log.info("%s: %d frames", view.video.path, view.video.frames)
            view.video = None

    def close(self) -> None:
        for view in self._views.values():
            self._close_video(view)
        if self._page:
            self._page.close()


def _has_display() -> bool:
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _free(path: Path, stream: str, first: bool) -> Path:
    """A name that is not taken: what a process that crashed, or another stream, has written stays."""
    names = (f"{path.stem}{'' if first else '-' + stream}{f'-{n}' if n > 1 else ''}{path.suffix}" for n in count(1))
    return next(path.with_name(name) for name in names if not path.with_name(name).exists())


if __name__ == "__main__":
    main(Overlay, "overlay")
