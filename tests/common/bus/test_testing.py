"""A bus for the tests of a consumer: nothing is lost, without sleeping, and nothing is left behind."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from unittest import mock

import numpy as np
import pytest
import zmq

from common.bus import testing
from common.bus.client import listen, send_command
from common.bus.connection import Endpoints, connect
from common.bus.errors import BadMessage, BusError
from common.bus.messages import Action, Command, Frame, Header, derive_header
from common.bus.proxy import Proxy
from common.bus.pubsub import Publisher
from common.bus.testing import TestBus
from common.bus.topics import TOPIC_OF, TOPICS, add_topic
from tests.common.sockets import VECTOR, keypoints, until
from tests.pace import patience
from tests.pipeline import ROOT

CONSUMER = """
from common.bus import listen, send_command
for action in listen("action"):
    print(action.number, action.label, flush=True)
    if action.end_of_stream:
        break
send_command("recorder", "stop")
"""


class Lamp(Header, kw_only=True, frozen=True):
    """What a consumer publishes."""

    color: str = "white"


@pytest.fixture
def lamp() -> Iterator[None]:
    with mock.patch.dict(TOPICS), mock.patch.dict(TOPIC_OF):
        add_topic("lamp", Lamp)
        yield


@pytest.fixture
def bus() -> Iterator[TestBus]:
    with TestBus(timeout_s=patience(10)) as opened:
        yield opened


def action(label: str = "wave", stream: str = "cam", end_of_stream: bool = False) -> Action:
    return Action(stream=stream, seq=0, captured_ns=0, ingested_ns=0, label=label, end_of_stream=end_of_stream)


def test_a_consumer_in_a_process_of_its_own_gets_everything_and_is_received(bus: TestBus) -> None:
    command = [sys.executable, "-c", CONSUMER]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as consumer:
        try:
            for label in ("wave", "clap"):
                bus.publish(action(label))
            bus.publish(action(end_of_stream=True))
            assert bus.receive("command").command == "stop"
            assert consumer.communicate(timeout=patience(10))[0].splitlines() == ["1 wave", "2 clap", "3 wave"]
        finally:
            consumer.kill()


def test_what_is_published_waits_for_a_consumer_that_comes_later(bus: TestBus) -> None:
    publishing = threading.Thread(target=bus.publish, args=(action(),))
    publishing.start()
    publishing.join(0.1)
    assert publishing.is_alive()
    with contextlib.closing(listen("action")) as actions:
        assert next(actions).label == "wave"
    publishing.join()


def test_arrays_and_frames_arrive(bus: TestBus) -> None:
    image = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    frame = Frame(stream="cam", seq=0, captured_ns=0, ingested_ns=0, width=2, height=1)
    with contextlib.closing(listen("keypoints", "frames")) as messages:
        bus.publish(keypoints(3), VECTOR)
        header, array = next(messages)
        assert header == keypoints(3)
        np.testing.assert_array_equal(array, VECTOR)
        bus.publish(frame, image)
        header, array = next(messages)
        assert header == frame
        np.testing.assert_array_equal(array, image)


def test_a_topic_of_the_consumers_own_is_received_from_its_first_message_on(bus: TestBus, lamp: None) -> None:
    with TestBus(timeout_s=patience(10)) as later, contextlib.closing(Publisher()) as publisher:
        assert publisher.wait_for_subscriber("lamp", timeout_s=patience(2))
        for color in ("green", "red"):
            publisher.send(derive_header(action(), Lamp, color=color))
        assert [later.receive("lamp").color for _ in range(2)] == ["green", "red"]
        with contextlib.closing(listen("lamp")) as lamps:
            later.publish(derive_header(action(), Lamp, color="blue"))
            assert next(lamps).color == "blue"


def test_a_topic_added_too_late_is_refused(bus: TestBus, lamp: None) -> None:
    with pytest.raises(BusError, match="'lamp' is no topic of this bus: call add_topic before"):
        bus.publish(derive_header(action(), Lamp))
    with pytest.raises(BusError, match="'lamp' is no topic of this bus"):
        bus.receive("lamp")


def test_messages_are_received_by_topic_and_stream_in_their_order(bus: TestBus) -> None:
    with contextlib.closing(listen("action")):
        for stream, label in (("left", "wave"), ("right", "clap"), ("left", "nod")):
            bus.publish(action(label, stream))
        send_command("recorder", "pause")
        assert bus.receive("command", "recorder").command == "pause"
        assert bus.receive("action", "right").label == "clap"
        assert [bus.receive("action").label for _ in range(2)] == ["wave", "nod"]


def test_a_command_reaches_a_consumer_that_listens_to_commands(bus: TestBus) -> None:
    with contextlib.closing(listen("command", stream="lamp")) as commands:
        bus.publish(Command(stream="lamp", seq=0, captured_ns=0, ingested_ns=0, command="off"))
        assert next(commands).command == "off"


def test_a_consumer_that_subscribes_to_everything_is_noticed(bus: TestBus) -> None:
    endpoints = Endpoints.from_env()
    with zmq.Context.instance().socket(zmq.SUB) as plain:
        connect(plain, endpoints.subscribe, endpoints.token())
        plain.subscribe("")
        bus.publish(action())
        assert plain.poll(1000 * patience(10)) and plain.recv_multipart()[0] == b"action/cam/"


def test_a_malformed_message_is_reported(bus: TestBus) -> None:
    endpoints = Endpoints.from_env()
    with zmq.Context.instance().socket(zmq.XPUB) as plain:
        connect(plain, endpoints.publish, endpoints.token())
        assert plain.poll(1000 * patience(10))
        until(lambda: b"\x01action/" in plain.recv())
        plain.send_multipart([b"action/cam/", b"no MessagePack"])
        with pytest.raises(BadMessage, match="action header"):
            bus.receive("action")


def test_waiting_ends_with_an_error() -> None:
    with TestBus(timeout_s=0.2) as bus, contextlib.closing(listen("action", stream="left")):
        with pytest.raises(TimeoutError, match=r"0\.2 s no consumer has subscribed to action/right/"):
            bus.publish(action(stream="right"))
        with pytest.raises(TimeoutError, match="nothing has been published to command/"):
            bus.receive("command")


def test_a_consumer_that_has_left_is_waited_for_again(bus: TestBus) -> None:
    for _ in range(3):
        with contextlib.closing(listen("action")) as actions:
            bus.publish(action())
            assert next(actions).label == "wave"
        until(lambda: bus._read(10) or not bus._subscriptions[bus._capture])


def test_ports_that_others_open_in_between_are_no_hindrance(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = iter([BusError("in use"), None])

    def bind(endpoints: Endpoints) -> Proxy:
        if error := next(attempts, None):
            raise error
        return Proxy(endpoints)

    monkeypatch.setattr(testing, "Proxy", bind)
    with TestBus():
        assert not list(attempts)


def test_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTIONSTREAM__BUS__PORT", "7000")
    before, threads = dict(os.environ), threading.active_count()
    with TestBus():
        assert Endpoints.from_env().port != 7000
        folder = os.path.dirname(os.environ["ACTIONSTREAM__BUS__TOKEN_FILE"])
    assert os.environ == before and not os.path.exists(folder)
    until(lambda: threading.active_count() <= threads)
