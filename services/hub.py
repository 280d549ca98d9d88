"""The only process that binds: passes messages on, gives frames to who asks, and puts keypoints in order."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.dispatch import Dispatcher, Release
from common.frame_requests import ASK, ASK_AHEAD, FRAME, PING, TAKEN, VIDEO_QUEUE, WATCH_QUEUE, HubSockets, Request
from common.messages import Frame, Keypoints, Message, about
from common.service import Service, log, main
from common.smoothing import PoseSmoother

TICK_MS = 100
PING_AFTER_S = 0.2  # an extractor that has a frame for longer is asked whether it still lives

Result = tuple[Keypoints, NDArray[np.float32]]


class Hub(Service):
    """Frames and results in; frames to extractors, and each stream's keypoints in order, smoothed."""

    poll_ms = 0
    _sockets: HubSockets | None = None

    def setup(self) -> None:
        self._sockets = HubSockets(
            self.settings.bus.endpoints, VIDEO_QUEUE if self.settings.overlay.video else WATCH_QUEUE
        )
        self._dispatcher: Dispatcher[Any, Result] = Dispatcher()
        self._extractors: set[bytes] = set()
        self._smoothers: dict[str, PoseSmoother] = {}

    def step(self, inbox: list[Message]) -> Iterator[Message]:
        assert self._sockets is not None
        requests = self._sockets.receive(TICK_MS)
        now = time.monotonic()
        for request in requests:
            self._hear(request, now)
        self._look_after_extractors(now)
        self._give(now)
        for release in self._dispatcher.released():
            yield self._release(release)
        foreign = self._sockets.bad + self._sockets.refused
        self.health.missed, self.health.dropped = self._dispatcher.lost, self._dispatcher.dropped + foreign

    def _hear(self, request: Request, now: float) -> None:
        assert self._sockets is not None
        if request.kind == ASK:
            self._extractors.add(request.peer)
            self._dispatcher.ask(request.peer, now)
        elif request.kind == ASK_AHEAD:
            self._dispatcher.ask_ahead(request.peer, now)
        elif isinstance(request.header, Frame):
            if request.header.end:
                self._sockets.send(request.peer, TAKEN, request.header)
            else:
                self._sockets.watch(request.header, request.payload)
            self._dispatcher.offer(request.header, request.payload, request.peer, now)
        elif isinstance(request.header, Keypoints):
            keypoints = (request.header, request.payload)
            self._dispatcher.result(request.peer, request.header.stream, request.header.seq, keypoints, now)
            self._dispatcher.ask(request.peer, now)

    def _look_after_extractors(self, now: float) -> None:
        assert self._sockets is not None
        for extractor in self._dispatcher.busy(now, PING_AFTER_S):
            if not self._sockets.send(extractor, PING):
                self._lose(extractor)
        if frames := self._dispatcher.tick(now):
            log.warning("an extractor has not answered in time; %d frame(s) taken from it", frames)

    def _lose(self, extractor: bytes) -> None:
        self._extractors.discard(extractor)
        frames = self._dispatcher.gone(extractor)
        log.warning("an extractor is gone, with %d frame(s): a live one is lost, a file's goes to another", frames)

    def _give(self, now: float) -> None:
        assert self._sockets is not None
        for gift in list(self._dispatcher.match(now)):
            if self._sockets.send(gift.extractor, FRAME, gift.header, gift.payload):
                self._sockets.send(gift.camera, TAKEN, gift.header)
            else:
                self._lose(gift.extractor)

    def _release(self, release: Release[Result]) -> Message:
        header = release.header
        if release.result is None:
            return self._end(header)
        keypoints, vector = release.result
        self.health.worked_on(header.entered_ns)
        if self.settings.keypoints.smooth:
            smoother = self._smoothers.setdefault(header.stream, PoseSmoother())
            size = keypoints.width, keypoints.height
            vector = smoother(vector, header.captured_ns, keypoints.pose_scale_px, size)
        return Message(keypoints, vector)

    def _end(self, header: Frame) -> Message:
        """Nothing more of this stream: extractors may forget it, and readers hear so."""
        assert self._sockets is not None
        self._smoothers.pop(header.stream, None)
        for extractor in self._extractors:
            self._sockets.send(extractor, FRAME, header, b"")
        return Message(about(header, Keypoints, end=True))

    def close(self) -> None:
        if self._sockets is not None:
            self._sockets.close()


if __name__ == "__main__":
    main(Hub, "hub")
