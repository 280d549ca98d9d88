"""A recording of the bus in; one stage of it, in place of the camera or of a later stage, out.

    python -m services.replay run.mcap --stage keypoints --speed 0

What came before that stage does not run, what comes after it does, and makes the same of it as when it was live.
Ends the run by itself.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from common.bus_file import BusReader, Heard
from common.clock import now_ns
from common.conductor import Conductor
from common.config import Settings
from common.errors import UserError
from common.frame_requests import FrameGiver
from common.handover import Handover
from common.messages import Frame, Header, Message, Prediction
from common.service import Service, log, main
from common.topics import TOPIC_OF

WAIT_MS = 100
IN_FLIGHT = 150  # frames sent of which no prediction has come: they fit into a half of the hub's queue (READER_QUEUE)
LOOK_S = 0.005  # between two looks whether there is room
SILENCE_S = 30.0  # predictions that have not come by then are lost: inference was killed
MOST_A_SECOND = 200  # of what nothing is made, so that nothing tells how fast the readers are


class Replay(Service):
    """Waits for the readers, sends, waits until they have finished."""

    topics = ("status", "prediction")

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._options = settings.replay
        self._conductor = Conductor(settings)
        self._hears_back = self._options.stage in ("keypoints", "windows") and "inference" in settings.camera.wait_for
        self._handovers: dict[str, Handover] = {}
        self._givers: list[FrameGiver] = []
        self._last: dict[str, Header] = {}  # sent of each stream
        self._answered: dict[str, int] = {}  # the newest frame of each stream that came back as a prediction
        self._answered_s = self._begun_s = 0.0
        self._begun_ns, self._sent, self._starts = 0, 0, 0
        self._phase = self._wait_for_others

    def setup(self) -> None:
        if not self._options.file:
            raise UserError("No recording to play: name one, as in python -m services.replay run.mcap.")
        self._open(self._options.file)

    def _open(self, file: str) -> None:
        self._reader = BusReader(Path(file))
        self._messages = (h for h in self._reader if TOPIC_OF[type(h.message.header)].name == self._options.stage)
        self._next = next(self._messages, None)
        if self._next is None:
            raise UserError(f"{file} holds nothing of {self._options.stage}: choose another stage.")
        self._begun_ns = self._next.heard_ns

    def step(self, inbox: list[Message]) -> Iterator[Message]:
        self._conductor.hear(inbox)
        for header, _ in inbox:
            if isinstance(header, Prediction) and not header.end:
                self._answered[header.stream], self._answered_s = header.seq, time.monotonic()
        yield from self._phase()

    def _wait_for_others(self) -> Iterator[Message]:
        if self._conductor.may_begin():
            self.health.state, self.health.detail = "running", ""
            self._begun_s = self._answered_s = time.monotonic()
            self.poll_ms, self._phase = 0, self._play
        else:
            self.health.state, self.health.detail = "waiting", self._conductor.detail
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
        yield from self._send(message)

    def _wait_s(self, heard: Heard) -> float:
        """Seconds until the message may go."""
        now = time.monotonic()
        if self._options.speed:
            return self._begun_s + (heard.heard_ns - self._begun_ns) / 1e9 / self._options.speed - now
        if self._options.stage == "frames":
            has_room = all(handover.has_room() for handover in self._handovers.values())
            return 0.0 if has_room and not self._conductor.is_held_up() else LOOK_S
        if self._hears_back:
            if now - self._answered_s > SILENCE_S:
                self._answered, self._answered_s = {stream: last.seq for stream, last in self._last.items()}, now
            return LOOK_S if self._in_flight() >= IN_FLIGHT else 0.0
        if self._conductor.is_held_up():
            return LOOK_S
        return self._begun_s + self._sent / MOST_A_SECOND - now

    def _in_flight(self) -> int:
        return sum(last.seq - self._answered.get(stream, -1) for stream, last in self._last.items() if not last.end)

    def _send(self, message: Message) -> Iterator[Message]:
        # Not live: nothing of it may be skipped; as old as if it had just come; and of a beginning of its own.
        start = message.header.start + self._starts
        header = msgspec.structs.replace(message.header, live=False, entered_ns=now_ns(), start=start)
        if header.stream not in self._last:
            self._answered.setdefault(header.stream, header.seq - 1)
        self._last[header.stream] = header
        self._sent += 1
        self.health.worked_on(header.entered_ns)
        if isinstance(header, Frame):
            self._handover(header.stream).add(header, message.array)
        else:
            yield Message(header, message.array)

    def _handover(self, stream: str) -> Handover:
        if stream not in self._handovers:
            self._givers.append(FrameGiver(self.settings.bus.endpoints))
            extractors = self.settings.camera.wait_for.count("keypoints")
            self._handovers[stream] = Handover(self._givers[-1], extractors)
        return self._handovers[stream]

    def _end(self) -> Iterator[Message]:
        """End the streams that were cut or, like frames, do not say when they end."""
        for header in [header for header in self._last.values() if not header.end]:
            yield from self._send(Message(msgspec.structs.replace(header, seq=header.seq + 1, end=True)))
        log.info("%s: %d messages of %s", self._options.file, self._sent, self._options.stage)
        if self._reader.end is None:
            log.warning("%s is incomplete: it was cut while it was recorded", self._options.file)
        elif self._reader.end.get("missed", "0") != "0":
            log.warning("%s missed %s messages when it was recorded", self._options.file, self._reader.end["missed"])
        self.health.finished.update(self._last)
        self._conductor.last_frame_is_given()
        self.poll_ms, self._phase = WAIT_MS, self._wait_for_finish

    def _starts_over(self) -> bool:
        """Play from the beginning where a process has crashed that knew what came before."""
        replaced = self._conductor.must_start_over()
        if replaced:
            log.warning("starts over: %s has crashed, and what it knew of the streams is lost", replaced)
            self._open(str(self._options.file))
            for giver in self._givers:
                giver.close()
            self._givers, self._handovers, self._last, self._answered = [], {}, {}, {}
            self._starts, self._sent, self.poll_ms = self._starts + 1, 0, WAIT_MS
            self.health.finished.clear()
            self._conductor.starts_over()
            self._phase = self._wait_for_others
        return bool(replaced)

    def _wait_for_finish(self) -> Iterator[Message]:
        if self._starts_over():
            return
        taken = all(handover.is_over() for handover in self._handovers.values())
        self.over = self._conductor.may_end("replay", self._last, taken)
        self.health.detail = self._conductor.detail
        yield from ()

    def close(self) -> None:
        for giver in self._givers:
            giver.close()


def options() -> argparse.ArgumentParser:
    """The command line; each option stands for a setting."""
    parser = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    parser.add_argument(
        "replay.file", metavar="FILE.mcap", nargs="?", default=None, type=json.dumps, help="a recording of the bus"
    )
    parser.add_argument("--stage", dest="replay.stage", help="frames, keypoints, windows, prediction or action")
    parser.add_argument("--speed", dest="replay.speed", help="times its own pace; 0: as fast as it goes")
    return parser


if __name__ == "__main__":
    main(Replay, "replay", options())
