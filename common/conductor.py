"""What all services report in; when a source may begin, must pause, and may end the run out.

A file must lose no frame, and honcho stops everything when one process ends: so a source waits for those that
must hear its first frame, pauses while one of them is behind, and ends when all have dealt with its last.
"""

import logging
import os
import time
from collections.abc import Iterable

from common.messages import Message, Status
from common.roster import Roster

log = logging.getLogger(__name__)

BEHIND_S = 1.0  # a file waits for a reader that is further behind; queues hold some seconds
FINISH_S = 60.0  # how long the others may take over the end of the stream


class Conductor:
    """The run as a source sees it. `detail` says what is being waited for."""

    def __init__(self, wait_for: list[str], wait_s: float) -> None:
        self._wait_for, self._wait_s = wait_for, wait_s
        self._roster = Roster()
        self._since_s = time.monotonic()
        self.detail = ""

    def hear(self, inbox: Iterable[Message]) -> None:
        for header, _ in inbox:
            if isinstance(header, Status):
                self._roster.hear(header, time.monotonic())

    def may_begin(self) -> bool:
        """Whether those are there that must not miss the first frame, or have been waited for long enough."""
        now = time.monotonic()
        missing = self._roster.not_running(self._wait_for, now)
        if missing and now - self._since_s < self._wait_s:
            self.detail = f"for {', '.join(missing)}"
            return False
        if missing:
            log.warning("begins without %s (camera.wait_for)", ", ".join(missing))
        return True

    def is_held_up(self) -> bool:
        """Whether a reader that must not lose a file's frames needs time."""
        return self._roster.behind_s(self._wait_for, time.monotonic()) > BEHIND_S

    def last_frame_is_given(self) -> None:
        """From now on the others may take FINISH_S."""
        self._since_s = time.monotonic()

    def may_end(self, source: str, streams: Iterable[str], taken: bool = True) -> bool:
        """Whether all have dealt with the end of the streams, and no other source runs on."""
        now = time.monotonic()
        unfinished = sorted({s for stream in streams for s in self._roster.not_finished(self._wait_for, stream, now)})
        if (unfinished or not taken) and now - self._since_s < FINISH_S:
            self.detail = f"ended; waiting for {', '.join(unfinished) or 'the hub'}"
            return False
        others = [c for c in self._roster.present(source, now) if c.pid != os.getpid() and not c.finished]
        if others:
            self.detail = f"ended; other processes of {source} run on"
            return False
        if unfinished:
            log.error("%s did not finish within %.0f s", ", ".join(unfinished), FINISH_S)
        return True
