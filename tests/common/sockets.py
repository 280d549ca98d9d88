"""What the tests of the bus share: a hub's ports, messages, readers, and waiting without sleeping."""

import contextlib
import socket
from collections.abc import Callable

import numpy as np

from common.bus.connection import Endpoints
from common.bus.errors import BusError
from common.bus.messages import Keypoints, Message
from common.bus.pubsub import Subscriber
from common.frames.sockets import BrokerSockets
from common.keypoints.landmarks import SIZE
from tests import pace

DEADLINE_S = 10.0
VECTOR = np.arange(SIZE, dtype=np.float32)


def until(done: Callable[[], object], seconds: float = DEADLINE_S) -> None:
    """What happens on sockets of one machine happens soon."""
    pace.until(done, seconds)


def free_ports() -> Endpoints:
    """Four free ports in a row."""
    while True:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, OverflowError):
            first = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            for port in range(first + 1, first + 4):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return Endpoints("127.0.0.1", first)


def open_hub() -> tuple[BrokerSockets, Endpoints]:
    """A hub's sockets on free ports, and where they are."""
    while True:
        with contextlib.suppress(BusError):  # somebody took a port in between
            endpoints = free_ports()
            return BrokerSockets(endpoints), endpoints


def keypoints(seq: int, stream: str = "cam", live: bool = True) -> Keypoints:
    return Keypoints(stream=stream, seq=seq, captured_ns=seq, ingested_ns=seq, live=live)


def subscriber(endpoints: Endpoints, stack: contextlib.ExitStack, *topics: str, stream: str = "") -> Subscriber:
    made = Subscriber(endpoints, topics, stream)
    stack.callback(made.close)
    return made


def collect(reader: Subscriber, count: int) -> list[Message]:
    messages: list[Message] = []
    until(lambda: messages.extend(reader.receive(50)) or len(messages) >= count)
    return messages
