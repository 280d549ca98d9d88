"""The bus: headers and arrays in, the same headers and arrays out in other processes.

A consumer needs nothing but `listen`:

    from common.bus import listen
    for action in listen("action"):
        print(action.event, action.label)
"""

import logging
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import zmq
from numpy.typing import NDArray

from common.errors import UserError
from common.messages import BadMessage, Command, Frame, Header, Message
from common.topics import TOPICS, Topic, address, picture_depth
from common.wire import MAX_MESSAGE_BYTES, pack, unpack

log = logging.getLogger(__name__)

LINGER_MS: Final = 1000  # what was sent before a close still leaves
ANSWER_MS: Final = 2000  # for a hub to say who listens
DRAIN_LIMIT: Final = 500  # messages taken at once, so that a flood does not keep a service from its other work


class Endpoints(NamedTuple):
    """Where the hub is: four ports in a row."""

    host: str = "127.0.0.1"
    port: int = 5550

    @classmethod
    def of(cls, host: str | None, port: int | None) -> "Endpoints":
        """For those without settings: as given, else as the environment says, else as it usually is."""
        usual = cls()
        try:
            said = int(os.environ.get("ACTIONSTREAM__BUS__PORT") or usual.port)
        except ValueError as error:
            raise UserError(f"ACTIONSTREAM__BUS__PORT is no port: {error}.") from error
        return cls(host or os.environ.get("ACTIONSTREAM__BUS__HOST") or usual.host, port or said)

    def tcp(self, offset: int) -> str:
        """The address of one of the four."""
        return f"tcp://{self.host}:{self.port + offset}"

    @property
    def publish(self) -> str:
        return self.tcp(0)

    @property
    def subscribe(self) -> str:
        return self.tcp(1)

    @property
    def request(self) -> str:
        return self.tcp(2)

    @property
    def watch(self) -> str:
        return self.tcp(3)


def open_socket(
    kind: int, *, send: int = 1000, receive: int = 1000, context: "zmq.Context[Any] | None" = None
) -> "zmq.Socket[bytes]":
    """A socket with queues of so many messages each way."""
    socket: zmq.Socket[bytes] = (context or zmq.Context.instance()).socket(kind)
    socket.linger = LINGER_MS
    socket.sndhwm, socket.rcvhwm = send, receive
    return socket


def complain(count: int, reason: BadMessage) -> None:
    """Name the first foreign message, the tenth, the hundredth: a flood of them must not flood the log."""
    if str(count).strip("0") == "1":
        log.warning("dropped a foreign or malformed message (%s); %d so far", reason, count)


class Publisher:
    """Sends messages to everybody who listens; never waits."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._socket = open_socket(zmq.PUB)
        self._socket.connect(endpoints.publish)

    def send(self, header: Header, array: NDArray[Any] | None = None) -> None:
        self._socket.send_multipart(pack(header, array), copy=False)

    def close(self) -> None:
        self._socket.close()


class Subscriber:
    """Receives the messages of some topics, each with a queue of its own, and counts what it missed.

    `missed` counts gaps in the frame numbers by topic, `skipped` superseded messages of a live stream, `bad`
    what was not a message. `every` skips nothing.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        topics: Iterable[str],
        stream: str = "",
        depths: dict[str, int] | None = None,
        every: bool = False,
    ) -> None:
        self.missed: Counter[str] = Counter()
        self.skipped = self.bad = 0
        self._every = every
        self._largest = 0  # of the pictures that came, bytes
        self._last_seq: dict[tuple[str, str], int] = {}
        self._poller = zmq.Poller()
        self._topics: dict[zmq.Socket[bytes], Topic] = {}
        for name in topics:
            socket = open_socket(zmq.SUB, receive=(depths or {}).get(name, TOPICS[name].depth))
            socket.maxmsgsize = MAX_MESSAGE_BYTES
            socket.connect(endpoints.watch if name == "frames" else endpoints.subscribe)
            socket.subscribe(f"{name}/{stream}/" if stream else f"{name}/")
            self._poller.register(socket, zmq.POLLIN)
            self._topics[socket] = TOPICS[name]

    def receive(self, timeout_ms: int) -> list[Message]:
        """What has arrived, after waiting up to timeout_ms for the first message."""
        messages: list[Message] = []
        for socket, _ in self._poller.poll(timeout_ms):
            arrived = self._drain(socket)
            messages += self._newest(arrived) if self._topics[socket].newest and not self._every else arrived
        return messages

    def _drain(self, socket: "zmq.Socket[bytes]") -> list[Message]:
        messages = []
        for _ in range(DRAIN_LIMIT):
            try:
                message = unpack([part.buffer for part in socket.recv_multipart(zmq.NOBLOCK, copy=False)])
            except zmq.Again:
                break
            except BadMessage as reason:
                self.bad += 1
                complain(self.bad, reason)
                continue
            self._count_gap(self._topics[socket], message.header)
            if isinstance(message.header, Frame) and message.array is not None:
                self._make_room(socket, message.array.nbytes)
            messages.append(message)
        return messages

    def _make_room(self, socket: "zmq.Socket[bytes]", picture_bytes: int) -> None:
        """A queue of pictures is as deep as their size allows, which is known when they come."""
        if picture_bytes > self._largest:
            self._largest = picture_bytes
            socket.rcvhwm = picture_depth(picture_bytes)

    def _count_gap(self, topic: Topic, header: Header) -> None:
        if not topic.steps:
            return
        last = self._last_seq.get((topic.name, header.stream))
        if last is not None and header.seq > last + 1:
            self.missed[topic.name] += (header.seq - last - 1) // getattr(header, "stride", 1)
        self._last_seq[topic.name, header.stream] = header.seq

    def _newest(self, messages: list[Message]) -> list[Message]:
        newest = {message.header.stream: message for message in messages if not message.header.end}
        kept = [m for m in messages if not m.header.live or m.header.end or newest[m.header.stream] is m]
        self.skipped += len(messages) - len(kept)
        return kept

    def close(self) -> None:
        for socket in self._topics:
            socket.close(linger=0)


def listen(*topics: str, stream: str = "", host: str | None = None, port: int | None = None) -> Iterator[Any]:
    """Yields headers of the topics as they come, until Ctrl-C; of a topic with arrays, (header, array).

    Without a stream, of all streams. `host` and `port` say where the hub is (bus.host and bus.port); without them
    ACTIONSTREAM__BUS__HOST and ACTIONSTREAM__BUS__PORT do, and else 127.0.0.1 and 5550.
    """
    unknown = [name for name in topics if name not in TOPICS]
    if unknown or not topics:
        raise UserError(f"listen: no topic {', '.join(unknown) or 'given'}; there are {', '.join(TOPICS)}.")
    subscriber = Subscriber(Endpoints.of(host, port), topics, stream)
    try:
        while True:
            for header, array in subscriber.receive(timeout_ms=1000):
                yield header if array is None else (header, array)
    except KeyboardInterrupt:
        return  # the way to end a program that only listens
    finally:
        subscriber.close()


def tell(service: str, command: str, value: str = "", *, host: str | None = None, port: int | None = None) -> None:
    """Sends one command to a service; raises UserError where none that takes commands is there."""
    header = Command(stream=service, seq=0, captured_ns=0, entered_ns=time.time_ns(), command=command, value=value)
    endpoints = Endpoints.of(host, port)
    socket = open_socket(zmq.XPUB)  # like PUB, but it hears who listens: before that, what is sent is lost
    try:
        socket.connect(endpoints.publish)
        while socket.poll(ANSWER_MS):
            wanted = socket.recv()
            if wanted[:1] == b"\x01" and address(header).startswith(wanted[1:]):
                socket.send_multipart(pack(header))
                return
        raise UserError(
            f"Nobody at {endpoints.host}:{endpoints.port} takes commands: is a pipeline with a {service} running there?"
        )
    finally:
        socket.close()
