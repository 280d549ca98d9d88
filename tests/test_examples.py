"""The examples, each in a process of its own on a bus for tests, as somebody outside would test a consumer."""

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from actionstream import Action, Keypoints, Prediction, Recording
from actionstream.testing import TestBus

from tests.pace import patience

FOLDER = Path(__file__).parent.parent / "examples"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))


@pytest.fixture
def bus() -> Iterator[TestBus]:
    with TestBus(timeout_s=patience(20)) as opened:
        yield opened


class Example:
    """An example that runs, and what it has printed."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def lines(self, count: int) -> list[str]:
        """Its next lines."""
        return [self._process.stdout.readline().rstrip("\n") for _ in range(count)]

    def end(self) -> list[str]:
        """The rest of its lines, when it has ended by itself without an error."""
        said = self._process.stdout.read().splitlines()
        assert self._process.wait() == 0
        return said


@contextlib.contextmanager
def run(name: str, *arguments: str) -> Iterator[Example]:
    command = [sys.executable, "-u", f"{FOLDER / name}.py", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        alarm = threading.Timer(patience(60), process.kill)
        alarm.start()
        try:
            yield Example(process)
        finally:
            alarm.cancel()
            process.kill()


def action(label: str = "", stream: str = "cam", **values: Any) -> Action:
    return Action(stream=stream, seq=0, captured_ns=0, ingested_ns=0, label=label, **values)


STARTED = action("wave", start_s=1.0, confidence=0.9)
ENDED = action("wave", event="ended", start_s=1.0, end_s=3.5)
END = action(end_of_stream=True)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_short_and_in_the_table(name: str) -> None:
    text = (FOLDER / f"{name}.py").read_text()
    assert len(text.splitlines()) <= 30
    assert f"[{name}]({name}.py)" in (FOLDER / "README.md").read_text()


def test_every_action(bus: TestBus) -> None:
    with run("every_action") as example:
        for message in (STARTED, ENDED, END):
            bus.publish(message)
        assert example.lines(3) == ["cam: wave started", "cam: wave ended after 2.5 s", "cam has ended"]


def test_started_actions(bus: TestBus) -> None:
    with run("started_actions") as example:
        for message in (ENDED, END, STARTED):
            bus.publish(message)
        assert example.lines(1) == ["wave (90%)"]


def test_one_stream(bus: TestBus) -> None:
    with run("one_stream", "left") as example:
        bus.publish(action("wave", "left"))
        bus.publish(action("nod", "left2"), wait=False)
        bus.publish(action("clap", "left", event="ended"))
        bus.publish(action(stream="left", end_of_stream=True))
        assert example.end() == ["started wave", "ended clap"]


def test_keypoints_as_arrays(bus: TestBus) -> None:
    with run("keypoints_as_arrays") as example:
        for seq, wrist_y in enumerate((0.8, 0.1, 0.9)):
            vector = np.zeros(1662, np.float32)
            vector[:132].reshape(33, 4)[[0, 15, 16], 1] = 0.3, 0.7, wrist_y
            header = Keypoints(
                stream="cam", seq=seq, captured_ns=seq * 40_000_000, ingested_ns=0, detected_parts=("pose",)
            )
            bus.publish(header, vector)
        bus.publish(Keypoints(stream="cam", seq=3, captured_ns=0, ingested_ns=0, end_of_stream=True))
        assert example.end() == ["0.04 s: a hand is up"]


def test_verdicts(bus: TestBus) -> None:
    with run("verdicts") as example:
        for verdict in ("wrong", None, "right", "wrong"):
            bus.publish(action("push up", event="ended", verdict=verdict, end_s=1.0))
        assert example.lines(3) == [
            "push up: wrong, 1 so far",
            "push up: right, 1 so far",
            "push up: wrong, 2 so far",
        ]


def test_publish_own_topic() -> None:
    from examples.publish_own_topic import Lamp

    with TestBus(timeout_s=patience(20)) as bus, run("publish_own_topic"):
        for message in (STARTED, ENDED, END):
            bus.publish(message)
        lamps = [bus.receive("lamp", "cam") for _ in range(3)]
        assert {type(lamp) for lamp in lamps} == {Lamp}
        assert [lamp.color for lamp in lamps] == ["green", "white", "white"]


def test_control_recording(bus: TestBus) -> None:
    header = {"stream": "cam", "seq": 0, "captured_ns": 0, "ingested_ns": 0, "live": False}  # none is superseded
    with run("control_recording", "2") as example:
        for number in (1, 2):
            progress = {"wave": 9 + number, "clap": 9 + number}  # the data set holds 20 already
            bus.publish(Recording(**header, state="ready", label="wave", number=number, target=5, progress=progress))
        assert example.end() == ["wave, 1 of 5: ready ", "wave, 2 of 5: ready "]
        command = bus.receive("command")
        assert (command.stream, command.command) == ("recorder", "stop")


def test_watch_lag(bus: TestBus) -> None:
    with run("watch_lag") as example:
        for seq in range(31):
            if seq != 7:
                ingested_ns = time.time_ns() - (5 if seq == 20 else 2) * 3600 * 10**9
                bus.publish(Prediction(stream="cam", seq=seq, captured_ns=0, ingested_ns=ingested_ns))
        (line,) = example.lines(1)
    words = line.split()
    assert [words[0], words[3], words[6:]] == ["median", "longest", ["lost", "1"]]
    assert 7_200_000 <= float(words[1]) < 7_300_000 and 18_000_000 <= float(words[4]) < 18_100_000


def test_plain_zmq(bus: TestBus) -> None:
    with run("plain_zmq") as example:
        bus.publish(STARTED)
        bus.publish(Keypoints(stream="cam", seq=1, captured_ns=0, ingested_ns=0), np.zeros(1662, np.float32))
        bus.publish(END)
        first, second, third = example.lines(3)
    assert first.startswith("action/cam/ {") and "'label': 'wave'" in first
    assert second.startswith("keypoints/cam/ {") and second.endswith(" and 6648 bytes")
    assert third == "action/cam/ has ended"


def test_asyncio_consumer(bus: TestBus) -> None:
    with run("asyncio_consumer") as example:
        for message in (STARTED, ENDED, END):
            bus.publish(message)
        assert example.end() == ["started wave", "ended wave"]
