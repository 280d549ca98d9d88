"""Which actions are under way and which ids are used: handed on to the process that takes over after a crash."""

import logging
import os
import time
from typing import Final

import msgspec

from common.bus.messages import Action
from common.runtime import watchdog

log = logging.getLogger(__name__)

VARIABLE: Final = "_ACTIONSTREAM_OPEN_ACTIONS"
SAVE_S: Final = 1.0  # how far the end of an action may be off that a crash cut

_left = os.environ.pop(VARIABLE, "{}")  # what the process before this one has handed on


class StreamState(msgspec.Struct):
    """What is known of a stream."""

    next_id: int
    action: Action | None  # the one under way
    last_s: float  # until when it was seen, on the stream's clock


class OpenActions:
    """Handed on when an action starts or ends, and every second while one is under way."""

    def __init__(self) -> None:
        self.inherited = _decoded(_left)  # by stream, as the process that crashed knew them
        self._streams = dict(self.inherited)
        self._saved_s = 0.0

    def record(self, action: Action, next_id: int) -> None:
        """An action started or ended."""
        under_way = action if action.event == "started" else None
        self._streams[action.stream] = StreamState(next_id, under_way, action.captured_ns / 1e9)
        self._save()

    def advance(self, stream: str, time_s: float) -> None:
        """A stream has come to this time."""
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
        log.warning("what was under way before the crash is not known: %s", error)
        return {}
