"""What all services report in; when a source may begin, must pause, must start over, and may end the run out.

A file must lose no frame, and honcho stops everything when one process ends: so a source waits for those that
must hear its first frame, pauses while one of them is behind or absent, and ends when all have dealt with its last.
What a process knew of the stream is lost when it crashes, so the source then starts over.
"""

import logging
import time
from collections.abc import Iterable

from common.bus.messages import Message, Status
from common.config import Settings
from common.runtime.presence import ServiceRegistry
from common.runtime.service import THIS_START

log = logging.getLogger(__name__)

MAX_LAG_S = 1.0  # a file waits for a reader that is further behind; queues hold some seconds
DRAIN_TIMEOUT_S = 60.0  # how long the others may take over the end of the stream
MAX_STARTS = 5  # a file that is started so often goes on with what is lost


class RunControl:
    """The run as a source sees it. `detail` says what is being waited for."""

    def __init__(self, settings: Settings) -> None:
        self._wait_for, self._wait_s = settings.camera.wait_for, settings.camera.wait_s
        # The hub sees to it that no extractor loses a frame, and of what is only shown nothing is lost.
        careless = {"keypoints"} if settings.overlay.video else {"keypoints", "overlay"}
        self._readers = [service for service in self._wait_for if service not in careless]
        self._registry = ServiceRegistry()
        self._members: list[Status] = []  # the processes that have heard the stream from its beginning
        self._given_up: set[str] = set()  # readers that were absent for too long
        self._since_s = time.monotonic()
        self._absent_s: float | None = None  # since when a reader has been absent
        self._starts = 0
        self.detail = ""

    def on_messages(self, inbox: Iterable[Message]) -> None:
        for header, _ in inbox:
            if isinstance(header, Status):
                self._registry.on_status(header, time.monotonic())

    def ready(self) -> bool:
        """Whether those are there that must not miss the first frame, or have been waited for long enough."""
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
        """Whether a reader that must not lose a file's frames needs time, or is absent and may come back."""
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
            log.warning("goes on without %s (camera.wait_for)", ", ".join(sorted(absent)))
        return self._registry.lag_s(self._readers, now) > MAX_LAG_S

    def replaced_readers(self) -> str:
        """Which of the processes that have heard the stream from its beginning were replaced; empty if none.

        A recorder goes on where it was: what it has recorded is on the disk, and the same again would be twice there.
        """
        if self._starts >= MAX_STARTS:
            return ""
        members = [member for member in self._members if member.service != "recorder"]
        return ", ".join(self._registry.replaced(members, time.monotonic()))

    def restart(self) -> None:
        """From now on the others are waited for as at the beginning."""
        self._since_s = time.monotonic()

    def last_frame_sent(self, live: bool) -> None:
        """From now on the others may take FINISH_S. A live source is dealt with by who is there now."""
        self._since_s = time.monotonic()
        if live or self._starts >= MAX_STARTS:
            self._take_members(self._since_s)

    def drained(self, streams: Iterable[str], taken: bool = True) -> bool:
        """Whether all have dealt with the end of the streams, or had time enough."""
        now = time.monotonic()
        readers = [member for member in self._members if member.service != "hub"]
        unfinished = sorted({s for stream in streams for s in self._registry.not_drained(readers, stream, now)})
        if not unfinished and taken:
            return True
        if now - self._since_s < DRAIN_TIMEOUT_S:
            self.detail = f"ended; waiting for {', '.join(unfinished) or 'the hub'}"
            return False
        log.error("%s did not finish within %.0f s", ", ".join(unfinished) or "the hub", DRAIN_TIMEOUT_S)
        return True

    def others_running(self, source: str) -> bool:
        """Whether another process of this service still has a stream that all have not dealt with."""
        this = f"{source}.{THIS_START}"
        others = [c for c in self._registry.alive(source, time.monotonic()) if c.stream != this and not c.ended_streams]
        if others:
            self.detail = f"ended; other processes of {source} run on"
        return bool(others)
