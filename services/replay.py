"""Play one stage of a recording of the bus, in place of the camera or of a later stage.

    python -m services.replay run.mcap --stage keypoints --speed 0

The stages before it do not run; those after it do, and give the same results as when it was live. Ends the run when it
is played.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from numpy.typing import NDArray

from common.bus.messages import Action, Frame, Header, Message, Prediction, derive_header
from common.bus.topics import TOPIC_OF
from common.clock import now_ns
from common.config import Settings
from common.errors import UserError
from common.frames.reliable_sender import ReliableSender
from common.frames.sockets import FrameProducer, Refused
from common.recording.mcap_file import BusReader, Received
from common.runtime.run_control import RunControl
from common.runtime.service import Service, log, main

WAIT_MS = 100
IN_FLIGHT = 150  # frames sent of which no prediction has come: half of the hub's queue (READER_HWM)
POLL_S = 0.005  # interval at which room is looked for
PREDICTION_TIMEOUT_S = 30.0  # predictions that have not come by then are lost: inference was killed
OTHER_END: dict[str, type[Header]] = {"prediction": Action, "action": Prediction}  # a reader of one ends with both
MAX_RATE = 200  # messages a second of stages that cause no reply, which would say how fast readers are


class Replay(Service):
    """Waits for the readers, sends, waits until they have processed all of it."""

    topics = ("status", "prediction")

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._options = settings.replay
        self._run_control = RunControl(settings)
        self._has_predictions = (
            self._options.stage in ("keypoints", "windows") and "inference" in settings.camera.wait_for
        )
        self._senders: dict[str, ReliableSender] = {}
        self._producers: dict[str, FrameProducer] = {}
        self._last: dict[str, Header] = {}  # the last that was sent of each stream
        self._answered: dict[str, int] = {}  # the newest frame of each stream that has a prediction
        self._predicted = 0  # predictions that came
        self._recorded: dict[str, int] = {}  # by stream, its start in the recording
        self._shift: dict[str, int] = {}  # by stream, what is added to the numbers of frames
        self._starts: dict[str, int] = {}  # by stream, its start as it is played
        self._answered_s = self._begun_s = 0.0
        self._begun_ns, self._sent = 0, 0
        self._phase = self._wait_for_others

    def setup(self) -> None:
        """Open the recording."""
        if not self._options.file:
            raise UserError("No recording to play: name one, as in python -m services.replay run.mcap.")
        self._open(self._options.file)

    def _open(self, file: str) -> None:
        self._reader = BusReader(Path(file))
        self._messages = (h for h in self._reader if TOPIC_OF[type(h.message.header)].name == self._options.stage)
        self._next = next(self._messages, None)
        if self._next is None:
            raise UserError(f"{file} holds nothing of {self._options.stage}: choose another stage.")
        self._begun_ns = self._next.received_ns

    def step(self, inbox: list[Message]) -> Iterator[Message]:
        """Work on the current phase: wait for readers, send, or wait for the end."""
        self._run_control.on_messages(inbox)
        for header, _ in inbox:
            mine = header.stream in self._last and header.start == self._last[header.stream].start
            if isinstance(header, Prediction) and mine and not header.end_of_stream:
                self._predicted += 1
                self._answered[header.stream], self._answered_s = header.seq, time.monotonic()
        try:
            yield from self._phase()
        except Refused as refused:
            raise UserError(
                "A camera sends a stream of a name that is in the recording: stop it, or play beside another hub."
            ) from refused

    def _wait_for_others(self) -> Iterator[Message]:
        if self._run_control.ready():
            self.health.state, self.health.detail = "running", ""
            self._begun_s = self._answered_s = time.monotonic()
            self.poll_ms, self._phase = 0, self._play
        else:
            self.health.state, self.health.detail = "waiting", self._run_control.detail
        yield from ()

    # --- playing ----------------------------------------------------------------------------------

    def _play(self) -> Iterator[Message]:
        if self._starts_over():
            return
        if self._next is None:
            yield from self._end()
            return
        wait_s = self._wait_s(self._next)
        if wait_s > 0:
            time.sleep(min(wait_s, WAIT_MS / 1000))
            return
        message = self._next.message
        self._next = next(self._messages, None)
        yield from self._send(self._renumbered(message.header), message.array)

    def _wait_s(self, next_one: Received) -> float:
        """Return the seconds until the message is due."""
        now = time.monotonic()
        if not self._can_send(now):
            return POLL_S
        if self._options.speed:
            return self._begun_s + (next_one.received_ns - self._begun_ns) / 1e9 / self._options.speed - now
        if self._options.stage in OTHER_END:
            return self._begun_s + self._sent / MAX_RATE - now
        return 0.0

    def _can_send(self, now: float) -> bool:
        """Whether the readers have room for more."""
        if not all(sender.can_send() for sender in self._senders.values()):
            return False
        if self._options.speed or not self._has_predictions:
            return not self._run_control.backpressured()
        if now - self._answered_s > PREDICTION_TIMEOUT_S:
            self._answered, self._answered_s = {stream: last.seq for stream, last in self._last.items()}, now
        return self._in_flight() < IN_FLIGHT

    def _in_flight(self) -> int:
        return sum(
            last.seq - self._answered.get(stream, -1) for stream, last in self._last.items() if not last.end_of_stream
        )

    def _send(self, header: Header, array: NDArray[Any] | None = None) -> Iterator[Message]:
        if header.stream not in self._last:
            self._answered.setdefault(header.stream, header.seq - 1)
        self._last[header.stream] = header
        self._sent += 1
        self.health.record_latency(header.ingested_ns)
        if isinstance(header, Frame):
            self._sender(header.stream).send(header, array)
        else:
            yield Message(header, array)
        if header.end_of_stream and self._options.stage in OTHER_END:
            yield Message(derive_header(header, OTHER_END[self._options.stage], end_of_stream=True))

    def _renumbered(self, header: Header) -> Header:
        """Return the header as of a file that is played now: no frame may be skipped, and it has just been ingested.

        Where a camera had started again, its stream continues; where a file had started over, so does what is played.
        """
        stream, last = header.stream, self._last.get(header.stream)
        if last is not None and header.start != self._recorded[stream]:
            if header.live:
                self._shift[stream] = last.seq + 1 - header.seq
            else:
                self._starts[stream] = now_ns()
        self._recorded[stream] = header.start
        start = self._starts.setdefault(stream, now_ns())
        seq = header.seq + self._shift.get(stream, 0)
        return msgspec.structs.replace(header, seq=seq, live=False, ingested_ns=now_ns(), start=start)

    def _sender(self, stream: str) -> ReliableSender:
        if stream not in self._senders:
            self._producers[stream] = self.closing(FrameProducer(self.settings.bus.endpoints))
            self._senders[stream] = self._new_sender(stream)
        return self._senders[stream]

    def _new_sender(self, stream: str) -> ReliableSender:
        return ReliableSender(self._producers[stream], self.settings.camera.wait_for.count("keypoints"))

    def _end(self) -> Iterator[Message]:
        """End the streams whose recording has no end: those that were cut, and frames."""
        for header in [header for header in self._last.values() if not header.end_of_stream]:
            yield from self._send(msgspec.structs.replace(header, seq=header.seq + 1, end_of_stream=True))
        log.info("%s: %d messages of %s", self._options.file, self._sent, self._options.stage)
        if self._reader.end is None:
            log.warning("%s is incomplete: it was cut while it was recorded", self._options.file)
        elif self._reader.end.get("missed", "0") != "0":
            log.warning("%s missed %s messages when it was recorded", self._options.file, self._reader.end["missed"])
        self._run_control.last_frame_sent(live=False)
        self.poll_ms, self._phase = WAIT_MS, self._drain

    def _starts_over(self) -> bool:
        """Start over if a process that held state of the streams has crashed."""
        replaced = self._run_control.replaced_readers()
        if replaced:
            log.warning("starts over: %s has crashed, and its state of the streams is lost", replaced)
            self._open(str(self._options.file))
            self._senders = {stream: self._new_sender(stream) for stream in self._producers}
            self._last, self._answered, self._recorded, self._shift, self._starts = {}, {}, {}, {}, {}
            self._sent, self._predicted, self.poll_ms = 0, 0, WAIT_MS
            self.health.ended_streams.clear()
            self._run_control.restart()
            self._phase = self._wait_for_others
        return bool(replaced)

    def _drain(self) -> Iterator[Message]:
        if self._starts_over():
            return
        all_acked = all(sender.all_acked() for sender in self._senders.values())
        if not self.health.ended_streams and self._run_control.drained(self._last, all_acked):
            self.health.ended_streams.update(self._last)
            self._compare()
        self.done = bool(self.health.ended_streams) and not self._run_control.others_running("replay")
        self.health.detail = self._run_control.detail
        yield from ()

    def _compare(self) -> None:
        """Check that every message has its prediction."""
        expected = self._sent - len(self._last)  # without the ends
        if self._has_predictions and self.settings.windows.stride == 1 and self._predicted < expected:
            self.health.missed = expected - self._predicted
            log.error("%d of %d messages have no prediction", self.health.missed, expected)


def options() -> argparse.ArgumentParser:
    """Return the command line; each option stands for a setting."""
    parser = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    parser.add_argument(
        "replay.file", metavar="FILE.mcap", nargs="?", default=None, type=json.dumps, help="a recording of the bus"
    )
    parser.add_argument("--stage", dest="replay.stage", help="frames, keypoints, windows, prediction or action")
    parser.add_argument("--speed", dest="replay.speed", help="speed relative to real time; 0: as fast as possible")
    return parser


if __name__ == "__main__":
    main(Replay, "replay", options())
