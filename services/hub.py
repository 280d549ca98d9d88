"""Bind the bus: forward messages, assign frames to extractors, and publish keypoints in order."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.bus.messages import Frame, Keypoints, Message, derive_header
from common.frames.dispatcher import MAX_TRIES, Dispatcher, OrderedResult
from common.frames.sockets import (
    ACK,
    FAILED,
    FRAME,
    PING,
    PREFETCH,
    REFUSED,
    REQUEST,
    BrokerSockets,
    Request,
)
from common.keypoints.landmarks import SIZE
from common.keypoints.smoothing import PoseSmoother
from common.runtime.service import Service, log, main

TICK_MS = 100
PING_AFTER_S = 0.2  # an extractor that has a frame for longer is pinged

Result = tuple[Keypoints, NDArray[np.float32]]


class Hub(Service):
    """The broker: each stream's frames go to extractors, and their keypoints out in order, the pose smoothed."""

    poll_ms = 0

    def setup(self) -> None:
        """Bind the sockets."""
        self._sockets = self.closing(BrokerSockets(self.settings.bus.endpoints))
        self._dispatcher: Dispatcher[Any, Result] = Dispatcher()
        self._extractors: set[bytes] = set()
        self._ends: dict[str, Frame] = {}  # the last header of each stream that has ended
        self._smoothers: dict[str, tuple[int, PoseSmoother]] = {}  # by stream, with the start it is for

    def step(self, inbox: list[Message]) -> Iterator[Message]:
        """Handle requests and results, assign frames, yield keypoints in order."""
        requests = self._sockets.receive(TICK_MS)
        now = time.monotonic()
        for request in requests:
            self._handle(request, now)
        self._check_extractors(now)
        self._assign(now)
        for ordered in self._dispatcher.ordered_results():
            yield from self._publish(ordered)
        self.health.missed = self._dispatcher.lost + self._dispatcher.given_up
        self.health.dropped = self._dispatcher.dropped + self._sockets.malformed + self._sockets.refused

    def _handle(self, request: Request, now: float) -> None:
        header = request.header
        if request.kind == REQUEST:
            self._welcome(request.peer)
            self._dispatcher.request(request.peer, now)
        elif request.kind == PREFETCH:
            self._dispatcher.prefetch(request.peer, now)
        elif request.kind == FAILED and header is not None:
            self._dispatcher.failed(request.peer, header, now)
            self._dispatcher.request(request.peer, now)
        elif isinstance(header, Frame):
            self._submit(request.peer, header, request.payload, now)
        elif isinstance(header, Keypoints):
            self._dispatcher.result(request.peer, header, (header, request.payload), now)
            self._dispatcher.request(request.peer, now)

    def _welcome(self, extractor: bytes) -> None:
        """Send the ends of streams to an extractor that is new, or was taken for dead."""
        if extractor not in self._extractors:
            self._extractors.add(extractor)
            for header in self._ends.values():
                self._sockets.send(extractor, FRAME, header, b"")

    def _submit(self, camera: bytes, header: Frame, image: Any, now: float) -> None:
        other = self._dispatcher.previous_camera(header)
        if other not in (None, camera) and self._sockets.send(other, PING):
            self._sockets.send(camera, REFUSED, header)  # two cameras of one name, and the first is alive
            return
        known = self._dispatcher.submit(header, image, camera, now)
        if known == "released":
            self._sockets.send(camera, ACK, header)
        elif known == "new" and not header.end_of_stream:
            self._ends.pop(header.stream, None)
            self._sockets.publish_frame(header, image)

    def _check_extractors(self, now: float) -> None:
        for extractor in self._dispatcher.busy_workers(now, PING_AFTER_S):
            if not self._sockets.send(extractor, PING):
                self._lose(extractor)
        if frames := self._dispatcher.tick(now):
            log.warning("extractors have not answered in time; %d frame(s) taken from them", frames)

    def _lose(self, extractor: bytes) -> None:
        self._extractors.discard(extractor)
        frames = self._dispatcher.remove_worker(extractor)
        log.warning("an extractor is gone, with %d frame(s): a live one is lost, a file's goes to another", frames)

    def _assign(self, now: float) -> None:
        for assignment in list(self._dispatcher.assignments(now)):
            if not self._sockets.send(assignment.extractor, FRAME, assignment.header, assignment.payload):
                self._lose(assignment.extractor)

    def _publish(self, ordered: OrderedResult[Result]) -> Iterator[Message]:
        """Publish the next result of a stream, and acknowledge its frame."""
        header = ordered.header
        yield (
            self._end(header)
            if header.end_of_stream
            else self._smoothed(header, ordered.result or self._given_up(header))
        )
        if not header.live or header.end_of_stream:
            self._sockets.send(ordered.camera, ACK, header)

    def _given_up(self, header: Frame) -> Result:
        """Make a result without a person for a frame on which extractors failed, so that a file continues."""
        log.warning(
            "%s: frame %d made %d extractors fail; it counts as a frame without a person",
            header.stream,
            header.seq,
            MAX_TRIES,
        )
        return derive_header(header, Keypoints, width=header.width, height=header.height), np.zeros(SIZE, np.float32)

    def _smoothed(self, header: Frame, result: Result) -> Message:
        keypoints, vector = result
        self.health.record_latency(header.ingested_ns)
        if self.settings.keypoints.smooth:
            start, smoother = self._smoothers.get(header.stream, (None, None))
            if smoother is None or start != header.start:
                smoother = PoseSmoother()
                self._smoothers[header.stream] = header.start, smoother
            size = keypoints.width, keypoints.height
            vector = smoother(vector, header.captured_ns, keypoints.person_size_px, size)
        return Message(keypoints, vector)

    def _end(self, header: Frame) -> Message:
        """End a stream at the extractors and the readers."""
        self._ends[header.stream] = header
        self._smoothers.pop(header.stream, None)
        for extractor in self._extractors:
            self._sockets.send(extractor, FRAME, header, b"")
        return Message(derive_header(header, Keypoints, end_of_stream=True))


if __name__ == "__main__":
    main(Hub, "hub")
