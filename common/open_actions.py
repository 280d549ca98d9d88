"""Which actions are under way and which ids are used, in a file: whoever goes on after a crash can end them."""

import contextlib
import logging
import re
import time
from pathlib import Path

import msgspec

from common.bus import Endpoints
from common.messages import Action
from common.sequence import write_whole
from common.state import state_folder

log = logging.getLogger(__name__)

WRITE_S = 1.0  # how far the end of an action may be off that a crash cut


class Kept(msgspec.Struct):
    """What is known of a stream."""

    next_id: int = 1
    action: Action | None = None  # the one under way
    last_s: float = 0.0  # until when it was seen, on the stream's clock


class OpenActions:
    """Written when an action starts or ends, and every second while one is under way."""

    def __init__(self, endpoints: Endpoints) -> None:
        hub = re.sub(r"[^0-9A-Za-z]", "-", endpoints.host)
        self._name = f"actions-{hub}-{endpoints.port}.json"
        self._streams: dict[str, Kept] = {}
        self._written_s = 0.0
        self._failed = False

    def read(self) -> dict[str, Kept]:
        """What a process that crashed has left, by stream; nothing where there is no such file."""
        try:
            self._streams = msgspec.json.decode(self._path().read_bytes(), type=dict[str, Kept])
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("what was under way before the crash is not known: %s", error)
        return self._streams

    def note(self, action: Action, next_id: int) -> None:
        """An action started or ended."""
        under_way = action if action.event == "started" else None
        self._streams[action.stream] = Kept(next_id, under_way, action.captured_ns / 1e9)
        self._write()

    def pass_by(self, stream: str, time_s: float) -> None:
        """A stream has come to this time."""
        kept = self._streams.get(stream)
        if kept and kept.action:
            kept.last_s = time_s
            if time.monotonic() - self._written_s >= WRITE_S:
                self._write()

    def _write(self) -> None:
        self._written_s = time.monotonic()
        try:
            write_whole(self._path(), msgspec.json.encode(self._streams))
        except OSError as error:
            if not self._failed:
                log.warning("%s cannot be written (%s): a crash would leave actions open", self._name, error.strerror)
            self._failed = True

    def forget(self) -> None:
        """What an earlier run has left is of no use."""
        with contextlib.suppress(OSError):
            self._path().unlink(missing_ok=True)

    def _path(self) -> Path:
        return state_folder() / self._name
