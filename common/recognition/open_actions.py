"""Pass the open actions and the next ids on to the process that replaces this one after a crash."""

import logging
import os
import time
from typing import Final

import msgspec

from common.bus.messages import Action
from common.runtime import watchdog

log = logging.getLogger(__name__)

VARIABLE: Final = "_ACTIONSTREAM_OPEN_ACTIONS"
SAVE_S: Final = 1.0  # how much too early an action may end that a crash interrupted

_left = os.environ.pop(VARIABLE, "{}")  # from the process that this one replaces


class StreamState(msgspec.Struct):
    """The state of a stream."""

    next_id: int
    action: Action | None  # the one under way
    last_s: float  # until when it was detected, on the stream's clock


class OpenActions:
    """The open actions, saved when one starts or ends, and every second while one is under way."""

    def __init__(self) -> None:
        self.inherited = _decoded(_left)  # by stream, from the process that crashed
        self._streams = dict(self.inherited)
        self._saved_s = 0.0

    def record(self, action: Action, next_id: int) -> None:
        """Save the start or end of an action."""
        under_way = action if action.event == "started" else None
        self._streams[action.stream] = StreamState(next_id, under_way, action.captured_ns / 1e9)
        self._save()

    def advance(self, stream: str, time_s: float) -> None:
        """Note that a stream has reached this time."""
        known = self._streams.get(stream)
        if known and known.action:
            known.last_s = time_s
            if time.monotonic() - self._saved_s >= SAVE_S:
                self._save()

    def _save(self) -> None:
        self._saved_s = time.monotonic()
        watchdog.pass_to_successor(VARIABLE, msgspec.json.encode(self._streams).decode())


def _decoded(text: str) -> dict[str, StreamState]:
    try:
        return msgspec.json.decode(text, type=dict[str, StreamState])
    except msgspec.MsgspecError as error:
        log.warning("the actions that were under way before the crash are lost: %s", error)
        return {}
