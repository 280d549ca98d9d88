"""Extract the 1662 landmark numbers of frames with Holistic; start as many of these as there are spare cores."""

import contextlib
import time
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from common.bus.errors import BadMessage
from common.bus.messages import Frame, Keypoints, Message, derive_header
from common.config import Settings
from common.frames.sockets import FrameWorker
from common.keypoints.holistic import Holistic, HolisticResult
from common.keypoints.landmarks import SIZE
from common.runtime.service import Service, log, main
from common.video.image import decode

WAIT_MS = 100
REQUEST_AGAIN_S = 1.0  # a hub that was restarted has no requests


class KeypointExtractor(Service):
    """Requests a frame, runs Holistic on it and replies with its keypoints; one graph for each stream."""

    poll_ms = 0

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._graphs: dict[str, Holistic] = {}
        self._spare: Holistic | None = None  # built before the first frame arrives
        self._requested_at = -REQUEST_AGAIN_S

    def setup(self) -> None:
        """Connect, and build a graph."""
        self._worker = self.closing(FrameWorker(self.settings.bus.endpoints))  # connects meanwhile
        self._spare = self._new_graph()

    def _new_graph(self) -> Holistic:
        options = self.settings.keypoints
        return Holistic(options.min_detection_confidence, options.min_tracking_confidence)

    def step(self, inbox: list[Message]) -> Iterable[Message]:
        """Request, process and reply to one frame."""
        now = time.monotonic()
        if now - self._requested_at > REQUEST_AGAIN_S and self._worker.request():
            self._requested_at = now
        try:
            frame = self._worker.receive(WAIT_MS)
        except BadMessage as reason:
            log.warning("dropped a frame (%s)", reason)
            self.health.dropped += 1
        else:
            if frame is not None:
                self._work_on(*frame)
        return ()

    def _work_on(self, header: Frame, values: NDArray[np.uint8] | None) -> None:
        if values is None:
            self._end_stream(header.stream)
            return
        self.health.ended_streams.discard(header.stream)
        if not header.live:
            self._worker.request(prefetch=True)
        found = self._extract(header, values)
        size = {"width": header.width, "height": header.height}
        facts = {"detected_parts": found.detected_parts, "person_size_px": found.person_size_px, **size}
        if self._worker.reply(derive_header(header, Keypoints, **facts), found.vector):
            self.health.record_latency(header.ingested_ns)
        else:
            self.health.dropped += 1
        self._requested_at = time.monotonic()

    def _extract(self, header: Frame, values: NDArray[np.uint8]) -> HolisticResult:
        """Run Holistic; a frame on which it fails has no person, so that the frames after it need not wait."""
        try:
            image = decode(header, values)
            found = self._graph(header)(image, header.captured_ns)
            if not np.isfinite(found.vector).all():
                raise BadMessage("MediaPipe answers with NaN or infinity")
        except BadMessage as reason:
            self._log_failure(header, str(reason))
        except Exception as error:  # noqa: BLE001 whatever MediaPipe raises
            self._log_failure(header, f"MediaPipe fails: {' '.join(str(error).split())[:200]}")
            if graph := self._graphs.pop(header.stream, None):
                with contextlib.suppress(Exception):  # it raises the same error again
                    graph.close()
        else:
            return found
        return HolisticResult(np.zeros(SIZE, np.float32), (), 0.0)

    def _log_failure(self, header: Frame, reason: str) -> None:
        log.warning("%s: frame %d counts as a frame without a person: %s", header.stream, header.seq, reason)
        self.health.dropped += 1

    def _graph(self, header: Frame) -> Holistic:
        if header.stream not in self._graphs:
            self._graphs[header.stream] = self._spare or self._new_graph()
            self._spare = None
        graph = self._graphs[header.stream]
        if not graph.accepts(header.captured_ns):
            graph.reset()
        return graph

    def _end_stream(self, stream: str) -> None:
        if graph := self._graphs.pop(stream, None):
            if self._spare:
                self._spare.close()
            graph.reset()
            self._spare = graph
        self.health.ended_streams.add(stream)

    def close(self) -> None:
        """Close the graphs and the connection."""
        for graph in (self._spare, *self._graphs.values()):
            if graph:
                graph.close()
        super().close()


if __name__ == "__main__":
    main(KeypointExtractor, "keypoints")
