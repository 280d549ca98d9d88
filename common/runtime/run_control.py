"""Decide, from the status of all services, when a source may begin, must pause, must start over and may end the run.

A file must lose no frame, and honcho stops all processes when one ends: so a source waits for the services that need
its first frame, pauses while one of them lags behind or is missing, and ends when all have processed its last frame. A
process that crashes loses its state of the stream, so the source then starts over.
"""

import logging
import time
from collections.abc import Iterable

from common.bus.messages import Message, Status
from common.config import Settings
from common.runtime.presence import ServiceRegistry
from common.runtime.service import THIS_START

log = logging.getLogger(__name__)

MAX_LAG_S = 1.0  # a file waits for a reader that lags more; queues hold some seconds
DRAIN_TIMEOUT_S = 60.0  # for the other services to process the end of the stream
MAX_STARTS = 5  # after so many starts a file is no longer restarted, and frames may be missing


class RunControl:
    """Flow control for a source. `detail` says what it waits for."""

    def __init__(self, settings: Settings) -> None:
        self._wait_for, self._wait_s = settings.camera.wait_for, settings.camera.wait_s
        # The hub makes sure that no extractor loses a frame, and an overlay without a video may skip frames.
        lossy = {"keypoints"} if settings.overlay.video else {"keypoints", "overlay"}
        self._readers = [service for service in self._wait_for if service not in lossy]
        self._registry = ServiceRegistry()
        self._members: list[Status] = []  # the processes that have received the stream from its beginning
        self._given_up: set[str] = set()  # readers that were missing for too long
        self._since_s = time.monotonic()
        self._absent_s: float | None = None  # since when a reader has been missing
        self._starts = 0
        self.detail = ""

    def on_messages(self, inbox: Iterable[Message]) -> None:
        """Note the status messages among these."""
        for header, _ in inbox:
            if isinstance(header, Status):
                self._registry.on_status(header, time.monotonic())

    def ready(self) -> bool:
        """Return whether all services that need the first frame run, or `camera.wait_s` has passed."""
        now = time.monotonic()
        missing = self._registry.not_running(["hub", *self._wait_for], now)
        if missing and now - self._since_s < self._wait_s:
            self.detail = f"for {', '.join(missing)}"
            return False
        if missing:
            log.warning("begins without %s (camera.wait_for)", ", ".join(missing))
        self._given_up = set(missing)
        self._take_members(now)
        self._starts += 1
        return True

    def _take_members(self, now: float) -> None:
        self._members = [
            status for service in ("hub", *self._readers) for status in self._registry.present(service, now)
        ]

    def backpressured(self) -> bool:
        """Return whether a reader that must not lose a file's frames lags behind, or is missing and may come back."""
        now = time.monotonic()
        missing = set(self._registry.not_running(self._readers, now))
        self._given_up &= missing
        absent = missing - self._given_up
        self._absent_s = (self._absent_s or now) if absent else None
        self.detail = f"paused, for {', '.join(sorted(absent))}" if absent else ""
        if self._absent_s and now - self._absent_s <= self._wait_s:
            return True
        if absent:
            self._given_up |= absent
            log.warning("continues without %s (camera.wait_for)", ", ".join(sorted(absent)))
        return self._registry.lag_s(self._readers, now) > MAX_LAG_S

    def replaced_readers(self) -> str:
        """Return which services that received the stream from its beginning were replaced since; empty if none.

        A recorder is not counted: its recordings are on the disk, and a restart would record them twice.
        """
        if self._starts >= MAX_STARTS:
            return ""
        members = [member for member in self._members if member.service != "recorder"]
        return ", ".join(self._registry.replaced(members, time.monotonic()))

    def restart(self) -> None:
        """Wait for the other services again, as at the beginning."""
        self._since_s = time.monotonic()

    def last_frame_sent(self, live: bool) -> None:
        """Start the DRAIN_TIMEOUT_S of the other services; for a live source, of those that are present now."""
        self._since_s = time.monotonic()
        if live or self._starts >= MAX_STARTS:
            self._take_members(self._since_s)

    def drained(self, streams: Iterable[str], acked: bool = True) -> bool:
        """Return whether all have processed the end of the streams, or DRAIN_TIMEOUT_S has passed.

        Args:
            streams: their names.
            acked: whether the hub has acknowledged all frames.
        """
        now = time.monotonic()
        readers = [member for member in self._members if member.service != "hub"]
        unfinished = sorted({s for stream in streams for s in self._registry.not_drained(readers, stream, now)})
        if not unfinished and acked:
            return True
        if now - self._since_s < DRAIN_TIMEOUT_S:
            self.detail = f"ended; waiting for {', '.join(unfinished) or 'the hub'}"
            return False
        log.error("%s did not finish within %.0f s", ", ".join(unfinished) or "the hub", DRAIN_TIMEOUT_S)
        return True

    def others_running(self, source: str) -> bool:
        """Return whether another process of this service has a stream that not all have processed yet."""
        this = f"{source}.{THIS_START}"
        alive = self._registry.alive(source, time.monotonic())
        others = [status for status in alive if status.stream != this and not status.ended_streams]
        if others:
            self.detail = f"ended; other processes of {source} still run"
        return bool(others)
