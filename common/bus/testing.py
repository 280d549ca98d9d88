"""Test a consumer without a pipeline."""

import contextlib
import math
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import zmq
from numpy.typing import NDArray

from .client import yielded
from .connection import HOST_VARIABLE, PORT_VARIABLE, Endpoints, open_socket
from .errors import BusError
from .messages import Frame, Header
from .proxy import Proxy
from .pubsub import Publisher
from .token import FILE_VARIABLE
from .topics import TOPIC_OF, TOPICS, subscription, topic_prefix
from .wire import pack, unpack

ATTEMPTS: Final = 100  # to find free ports


class TestBus:
    """A bus without a pipeline, on free ports and with a token of its own, for the time of a `with` block.

    The environment then leads every consumer to it, in this process or in one that is started from it:

        with TestBus() as bus, subprocess.Popen([sys.executable, "my_consumer.py"]) as consumer:
            bus.publish(Action(stream="cam", seq=0, captured_ns=0, ingested_ns=0, label="wave"))
            assert bus.receive("command").command == "pause"
            consumer.terminate()

    Topics of your own (`add_topic`) are to be added before it.

    Args:
        timeout_s: How long to wait for the consumer.
    """

    __test__ = False  # its name would have pytest look for tests in it

    def __init__(self, timeout_s: float = 10.0) -> None:
        self._timeout_s = timeout_s
        self._messages: list[list[bytes]] = []  # published by anybody, not received yet

    def __enter__(self) -> "TestBus":
        with contextlib.ExitStack() as stack:
            token_file = Path(stack.enter_context(tempfile.TemporaryDirectory()), "token")
            endpoints, proxy, self._frames = _bind(str(token_file))
            stack.callback(proxy.close)
            stack.callback(self._frames.close, linger=0)
            self._capture, sender = (open_socket(zmq.PAIR, send=0, receive=0, context=proxy.context) for _ in range(2))
            stack.callback(self._capture.close)
            self._capture.bind("inproc://capture")
            sender.connect("inproc://capture")
            self._subscriptions: dict[zmq.Socket[bytes], set[bytes]] = {self._capture: set(), self._frames: set()}
            self._poller = zmq.Poller()
            for source in self._subscriptions:
                self._poller.register(source, zmq.POLLIN)
            self._topics = frozenset(TOPICS)
            proxy.start(sender, map(subscription, self._topics))
            self._publisher = stack.enter_context(contextlib.closing(Publisher(endpoints)))
            if not all(self._publisher.wait_for_subscriber(name, timeout_s=self._timeout_s) for name in TOPICS):
                raise TimeoutError(f"The bus has not started within {self._timeout_s:g} s.")
            stack.enter_context(_environment(endpoints))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def publish(self, header: Header, array: NDArray[Any] | None = None, *, wait: bool = True) -> None:
        """Publish a message, as soon as a consumer has subscribed to its topic and stream.

        Args:
            header: What to publish; an Action's `number` is set.
            array: Its array, for a topic that has one.
            wait: False: at once, for what a consumer is to ignore.

        Raises:
            TimeoutError: No consumer has subscribed in time.
            BusError: The message is too large for the bus, or its header has no topic of it.
        """
        self._check_topic(TOPIC_OF[type(header)].name)
        if wait:
            self._wait_for_subscriber(header)
        if isinstance(header, Frame):
            self._frames.send_multipart(pack(header, array))
        else:
            self._publisher.send(header, array)

    def _wait_for_subscriber(self, header: Header) -> None:
        prefix = topic_prefix(header)
        subscriptions = self._subscriptions[self._frames if isinstance(header, Frame) else self._capture]
        self._wait(
            lambda: any(map(prefix.startswith, subscriptions)), f"no consumer has subscribed to {prefix.decode()}"
        )

    def receive(self, topic: str, stream: str = "") -> Any:
        """Return the next message of a topic, whoever has published it, as `listen` does.

        Raises:
            TimeoutError: None has come in time.
            BadMessage: It does not follow the schema, so that subscribers would drop it.
            BusError: It is no topic of the bus.
        """
        self._check_topic(topic)
        prefix = subscription(topic, stream)
        parts = self._wait(
            lambda: next((parts for parts in self._messages if parts[0].startswith(prefix)), None),
            f"nothing has been published to {prefix.decode()}",
        )
        self._messages.remove(parts)
        return yielded(unpack(parts))

    def _check_topic(self, topic: str) -> None:
        if topic not in self._topics:
            raise BusError(f"{topic!r} is no topic of this bus: call add_topic before `with TestBus()`.")

    def _wait(self, find: Callable[[], Any], missing: str) -> Any:
        """Read what passes until something is found."""
        deadline_s = time.monotonic() + self._timeout_s
        self._read(0)
        while not (found := find()):
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError(f"After {self._timeout_s:g} s {missing}: does the consumer run, on this bus?")
            self._read(math.ceil(left_s * 1000))
        return found

    def _read(self, timeout_ms: int) -> None:
        for source, _ in self._poller.poll(timeout_ms):
            while source.get(zmq.EVENTS) & zmq.POLLIN:
                parts = source.recv_multipart()
                if len(parts) > 1:
                    self._messages.append(parts)
                elif parts[0][:1] == b"\x01":
                    self._subscriptions[source].add(parts[0][1:])
                else:
                    self._subscriptions[source].discard(parts[0][1:])


def _bind(token_file: str) -> tuple[Endpoints, Proxy, "zmq.Socket[bytes]"]:
    """Bind all ports but that of frames on request, and return the socket that frames are published on."""
    for _ in range(ATTEMPTS):
        with socket.create_server(("127.0.0.1", 0)) as free:
            endpoints = Endpoints(port=free.getsockname()[1], token_file=token_file)
        with contextlib.suppress(BusError):  # one of the next ports is in use
            proxy = Proxy(endpoints)
            frames = open_socket(zmq.XPUB, send=0, context=proxy.context)
            proxy.bind(frames, 3)
            return endpoints, proxy, frames
    raise BusError(f"There were no four free ports in a row in {ATTEMPTS} attempts.")


@contextlib.contextmanager
def _environment(endpoints: Endpoints) -> Iterator[None]:
    """Lead consumers to these endpoints."""
    values = {
        HOST_VARIABLE: endpoints.host,
        PORT_VARIABLE: str(endpoints.port),
        FILE_VARIABLE: str(endpoints.token_file),
    }
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
