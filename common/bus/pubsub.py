"""The bus: headers and arrays in, the same headers and arrays out in other processes.

A consumer needs nothing but `listen`:

    from common.bus.pubsub import listen
    for action in listen("action"):
        print(action.event, action.label)
"""

import logging
import time
import weakref
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any, Final

import msgspec
import zmq
from numpy.typing import NDArray

from common.bus.connection import Endpoints as Endpoints
from common.bus.connection import Link, connect
from common.bus.connection import open_socket as open_socket
from common.bus.messages import BadMessage, Command, Header, Message
from common.bus.topics import TOPIC_OF, TOPICS, Topic, address
from common.bus.wire import MAX_MESSAGE_BYTES, pack, unpack
from common.errors import UserError

log = logging.getLogger(__name__)

ANSWER_MS: Final = 2000  # for a hub to say who listens
DRAIN_LIMIT: Final = 500  # messages taken at once, so that a flood does not keep a service from its other work


def complain(count: int, reason: BadMessage) -> None:
    """Name the first foreign message, the tenth, the hundredth: a flood of them must not flood the log."""
    if str(count).strip("0") == "1":
        log.warning("dropped a foreign or malformed message (%s); %d so far", reason, count)


class Publisher:
    """Sends messages to everybody who listens; never waits. It numbers those of topics that count by `number`."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._numbers: Counter[tuple[str, str]] = Counter()
        token = endpoints.token()
        self._socket = open_socket(zmq.PUB)
        connect(self._socket, endpoints.publish, token)

    def send(self, header: Header, array: NDArray[Any] | None = None) -> None:
        """Raises UserError for what is too large for any reader."""
        topic = TOPIC_OF[type(header)]
        if topic.counts == "number":
            self._numbers[topic.name, header.stream] += 1
            header = msgspec.structs.replace(header, number=self._numbers[topic.name, header.stream])
        self._socket.send_multipart(pack(header, array), copy=False)

    def close(self) -> None:
        self._socket.close()


class Subscriber:
    """Receives the messages of some topics, each with a queue of its own, and counts what it missed.

    `missed` counts by topic the gaps in what numbers its messages, `skipped` superseded messages of a live stream,
    `bad` what was not a message. `every` skips nothing. `alive` is whether it is connected to the hub.
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
        token = endpoints.token()
        self._every = every
        self._last: dict[tuple[str, str], int] = {}
        self._link: Link | None = None  # of the first socket: the others fare alike
        self._poller = zmq.Poller()
        self._topics: dict[zmq.Socket[bytes], Topic] = {}
        for name in topics:
            socket = open_socket(zmq.SUB, receive=(depths or {}).get(name, TOPICS[name].depth))
            socket.maxmsgsize = MAX_MESSAGE_BYTES
            if self._link is None:
                self._link = Link(socket, endpoints)
                self._poller.register(self._link.monitor, zmq.POLLIN)
            connect(socket, endpoints.watch if name == "frames" else endpoints.subscribe, token)
            socket.subscribe(f"{name}/{stream}/" if stream else f"{name}/")
            self._poller.register(socket, zmq.POLLIN)
            self._topics[socket] = TOPICS[name]

    @property
    def alive(self) -> bool:
        return self._link is not None and self._link.up

    def receive(self, timeout_ms: int) -> list[Message]:
        """What has arrived, after waiting up to timeout_ms for the first message, or for a change of `alive`.

        Raises UserError where the hub refuses the token.
        """
        messages: list[Message] = []
        for socket, _ in self._poller.poll(timeout_ms):
            if self._link and socket is self._link.monitor:
                self._link.look()
                continue
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
            messages.append(message)
        return messages

    def _count_gap(self, topic: Topic, header: Header) -> None:
        if topic.counts is None:
            return
        number = getattr(header, topic.counts)
        last = self._last.get((topic.name, header.stream))
        if last is not None and number > last + 1:
            self.missed[topic.name] += (number - last - 1) // getattr(header, "stride", 1)
        self._last[topic.name, header.stream] = number

    def _newest(self, messages: list[Message]) -> list[Message]:
        newest = {message.header.stream: message for message in messages if not message.header.end}
        kept = [m for m in messages if not m.header.live or m.header.end or newest[m.header.stream] is m]
        self.skipped += len(messages) - len(kept)
        return kept

    def close(self) -> None:
        if self._link:
            self._link.close()
        for socket in self._topics:
            socket.close(linger=0)


class Listener:
    """What `listen` gives: an iterator over what arrives, until Ctrl-C.

    `missed` is how many messages were lost by topic, `alive` whether the hub is there; both may be read from another
    thread. Errors: UserError, where the hub refuses the token.
    """

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
        self._arrived: deque[Any] = deque()
        self.missed = subscriber.missed
        self.close = weakref.finalize(self, subscriber.close)  # also where nobody calls it

    @property
    def alive(self) -> bool:
        return self._subscriber.alive

    def receive(self, timeout_s: float) -> list[Any]:
        """For a loop that has more to do: what has arrived, after waiting up to timeout_s; possibly nothing."""
        messages = self._subscriber.receive(int(timeout_s * 1000))
        return [header if array is None else (header, array) for header, array in messages]

    def __iter__(self) -> "Listener":
        return self

    def __next__(self) -> Any:
        try:
            while not self._arrived:
                self._arrived.extend(self.receive(timeout_s=1.0))
        except KeyboardInterrupt:  # the way to end a program that only listens
            self.close()
            raise StopIteration from None
        return self._arrived.popleft()


def listen(
    *topics: str, stream: str = "", host: str | None = None, port: int | None = None, token_file: str | None = None
) -> Listener:
    """Iterates over headers of the topics as they come, until Ctrl-C; of a topic with arrays, (header, array).

    Without a stream, of all streams. `host`, `port` and `token_file` say where the hub is and with which token it lets
    in (bus.host, bus.port, bus.token_file); without them ACTIONSTREAM__BUS__HOST and so on do, and else 127.0.0.1, 5550
    and the user's own. Raises UserError.
    """
    unknown = [name for name in topics if name not in TOPICS]
    if unknown or not topics:
        raise UserError(f"listen: no topic {', '.join(unknown) or 'given'}; there are {', '.join(TOPICS)}.")
    return Listener(Subscriber(Endpoints.of(host, port, token_file), topics, stream))


def tell(
    service: str,
    command: str,
    value: str = "",
    *,
    host: str | None = None,
    port: int | None = None,
    token_file: str | None = None,
) -> None:
    """Sends one command to a service; raises UserError where nobody listens to commands."""
    header = Command(stream=service, seq=0, captured_ns=0, entered_ns=time.time_ns(), command=command, value=value)
    endpoints = Endpoints.of(host, port, token_file)
    token = endpoints.token()
    socket = open_socket(zmq.XPUB)  # like PUB, but it hears who listens: before that, what is sent is lost
    link = Link(socket, endpoints)
    try:
        connect(socket, endpoints.publish, token)
        while socket.poll(ANSWER_MS):
            wanted = socket.recv()
            if wanted[:1] == b"\x01" and wanted[1:].startswith(b"command/") and address(header).startswith(wanted[1:]):
                socket.send_multipart(pack(header))
                return
        link.look()
        raise UserError(
            f"Nobody at {endpoints.host}:{endpoints.port} takes commands: is a pipeline with a {service} running there?"
        )
    finally:
        link.close()
        socket.close()
