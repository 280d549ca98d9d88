"""Record topics of the bus to an MCAP file that can be played back.

    python -m services.record_bus --out run.mcap

Ends with Ctrl-C, or when every stream it received has ended.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import msgspec

from common.bus import __version__
from common.bus.messages import Message
from common.bus.topics import END_TOPICS, TOPIC_OF, TOPICS
from common.clock import now_ns
from common.config import Settings
from common.errors import UserError
from common.recording.mcap_file import BusWriter
from common.runtime.service import Service, log, main

DEPTH = 5000  # messages that may wait while the disk is slow


class RecordBus(Service):
    """Writes what it receives, flushed to the disk once a second."""

    conflate = False

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._options = settings.record_bus
        self.topics = tuple(self._options.topics)
        self._ended: defaultdict[str, set[str]] = defaultdict(set)
        self._reason = "stopped"
        self._flush_at = 0.0

    def tracked_topics(self) -> tuple[str, ...]:
        """Return all topics that are recorded."""
        return self.topics

    def hwm(self) -> dict[str, int]:
        """Return a longer queue for each topic."""
        return dict.fromkeys(self.topics, DEPTH)

    def setup(self) -> None:
        """Create the file."""
        if not self._options.out:
            raise UserError("No file to record to: name one that does not exist, as in --out run.mcap.")
        begin = {"settings": msgspec.json.encode(self.settings).decode(), "version": __version__}
        try:
            self._writer = BusWriter(Path(self._options.out), begin)
        except FileExistsError:
            raise UserError(f"{self._options.out} is there already: choose another name, or remove it.") from None
        except OSError as error:
            raise UserError(f"{self._options.out} cannot be written: {error.strerror}.") from error
        self.resources.callback(self._finish)
        log.info("%s: %s", self._options.out, ", ".join(self.topics))

    def step(self, inbox: list[Message]) -> Iterable[Message]:
        """Write what has arrived."""
        received_ns = now_ns()
        try:
            for message in inbox:
                self._writer.add(received_ns, message)
            if time.monotonic() >= self._flush_at:
                self._writer.flush()
                self._flush_at = time.monotonic() + 1
        except OSError as error:
            self._reason = f"{error.strerror}"
            raise UserError(
                f"{self._options.out} cannot be written any more ({error.strerror}): what was written before is there."
            ) from error
        self._notice_ends(inbox)
        return ()

    def _notice_ends(self, inbox: list[Message]) -> None:
        for header, _ in inbox:
            topic = TOPIC_OF[type(header)].name
            if topic in END_TOPICS:
                ended = self._ended[header.stream]
                ended.add(topic) if header.end_of_stream else ended.discard(topic)
        if self._ended and all(ended >= END_TOPICS & set(self.topics) for ended in self._ended.values()):
            self._reason, self.done = "all streams ended", True

    def _finish(self) -> None:
        end = {"reason": self._reason, "missed": str(self.health.gaps), "messages": json.dumps(self._writer.counts)}
        try:
            self._writer.close(end)
        except OSError as error:
            log.error("%s has no end: %s", self._options.out, error.strerror)
        counts = ", ".join(f"{name} {count}" for name, count in self._writer.counts.items()) or "nothing"
        log.info("%s: %s; %s, %d missed", self._options.out, self._reason, counts, self.health.gaps)


def options() -> argparse.ArgumentParser:
    """Return the command line; each option stands for a setting."""
    parser = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    parser.add_argument("--out", dest="record_bus.out", type=json.dumps, metavar="FILE.mcap", help="a new file")
    parser.add_argument(
        "--topics",
        dest="record_bus.topics",
        nargs="+",
        choices=list(TOPICS),
        help="default: keypoints, prediction, action, status",
    )
    return parser


if __name__ == "__main__":
    main(RecordBus, "record_bus", options())
