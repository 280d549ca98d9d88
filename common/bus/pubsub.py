"""Publish messages to the hub, and subscribe to topics there."""

import math
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import msgspec
import zmq
from numpy.typing import NDArray

from .connection import ConnectionMonitor, Endpoints, connect, open_socket
from .errors import BadMessage, log_malformed
from .messages import Header, Message
from .topics import TOPIC_OF, TOPICS, Topic, subscription
from .wire import MAX_MESSAGE_BYTES, pack, unpack

DRAIN_LIMIT: Final = 500  # messages received at once, so that a flood does not keep a service from its other work
SUBSCRIPTION_TIMEOUT_S: Final = 2.0  # for a connection to the hub, and its report of who subscribes


class Publisher:
    """Sends messages to all subscribers, without waiting for any; sets the `number` of those sequenced by it.

    Args:
        endpoints: Where the hub is; None: as the environment says.

    Raises:
        BusError: There is no token, or the environment names no port.
    """

    def __init__(self, endpoints: Endpoints | None = None) -> None:
        endpoints = endpoints or Endpoints.from_env()
        token = endpoints.token()
        self._numbers: Counter[tuple[str, str]] = Counter()
        self._subscriptions: set[bytes] = set()  # topic prefixes
        self._socket = open_socket(zmq.XPUB)  # like PUB, but it learns who subscribes
        self._monitor = ConnectionMonitor(self._socket, endpoints)
        self._poller = zmq.Poller()
        for socket in (self._socket, self._monitor.monitor):
            self._poller.register(socket, zmq.POLLIN)
        connect(self._socket, endpoints.publish, token)

    def wait_for_subscriber(self, topic: str, stream: str = "", timeout_s: float = SUBSCRIPTION_TIMEOUT_S) -> bool:
        """Wait until there is a subscriber of a topic, or of one stream of it: messages sent before that are lost.

        Returns:
            Whether there is one; subscribers to all topics do not count.

        Raises:
            BusError: The hub refuses the token.
        """
        prefix = subscription(topic, stream)
        deadline_s = time.monotonic() + timeout_s
        self._update()
        while not self._has_subscriber(prefix):
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return False
            self._update(math.ceil(left_s * 1000))
        return True

    def _has_subscriber(self, prefix: bytes) -> bool:
        """Whether a subscription covers this prefix or a part of it; an empty one, of a logger, does not count."""
        return any(found and (prefix.startswith(found) or found.startswith(prefix)) for found in self._subscriptions)

    def _update(self, timeout_ms: int = 0) -> None:
        """Process the events of the connection, and new and ended subscriptions."""
        for socket, _ in self._poller.poll(timeout_ms):
            if socket is self._monitor.monitor:
                self._monitor.update()
                continue
            while socket.get(zmq.EVENTS) & zmq.POLLIN:
                event = socket.recv()
                (self._subscriptions.add if event[:1] == b"\x01" else self._subscriptions.discard)(event[1:])

    def send(self, header: Header, array: NDArray[Any] | None = None) -> None:
        """Publish a message.

        Raises:
            BusError: The message is too large for the bus, its header has no topic, or the hub refuses the token.
        """
        self._update()
        topic = TOPIC_OF[type(header)]
        if topic.sequenced == "number":
            self._numbers[topic.name, header.stream] += 1
            header = msgspec.structs.replace(header, number=self._numbers[topic.name, header.stream])
        self._socket.send_multipart(pack(header, array), copy=False)

    def close(self) -> None:
        """Close the connection, after what is queued has been sent."""
        self._monitor.close()
        self._socket.close()


class Subscriber:
    """Receives the messages of some topics, each with a queue of its own, and counts those that were lost.

    Args:
        endpoints: Where the hub is.
        topics: Names of topics.
        stream: The stream to subscribe to; empty: all of them.
        hwm: High-water marks that differ from the topics' own.
        conflate: Whether superseded messages of a live stream are skipped, on topics with `conflate`.

    Attributes:
        missed: Messages lost, by topic: gaps in the numbers of sequenced topics.
        conflated: Superseded messages that were skipped.
        malformed: Messages that were dropped because they do not follow the schema.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        topics: Iterable[str],
        stream: str = "",
        hwm: dict[str, int] | None = None,
        conflate: bool = True,
    ) -> None:
        self.missed: Counter[str] = Counter()
        self.conflated = self.malformed = 0
        token = endpoints.token()
        self._conflate = conflate
        self._last: dict[tuple[str, str], int] = {}
        self._monitor: ConnectionMonitor | None = None  # of the first socket: the others share its fate
        self._poller = zmq.Poller()
        self._topics: dict[zmq.Socket[bytes], Topic] = {}
        for name in topics:
            socket = open_socket(zmq.SUB, receive=(hwm or {}).get(name, TOPICS[name].hwm))
            socket.maxmsgsize = MAX_MESSAGE_BYTES
            if self._monitor is None:
                self._monitor = ConnectionMonitor(socket, endpoints)
                self._poller.register(self._monitor.monitor, zmq.POLLIN)
            connect(socket, endpoints.frames if name == "frames" else endpoints.subscribe, token)
            socket.subscribe(subscription(name, stream))
            self._poller.register(socket, zmq.POLLIN)
            self._topics[socket] = TOPICS[name]

    @property
    def connected(self) -> bool:
        """Whether the hub is connected, as of the last `receive`."""
        return self._monitor is not None and self._monitor.connected

    def receive(self, timeout_ms: int) -> list[Message]:
        """Return what has arrived, after waiting up to timeout_ms for the first message or a change of `connected`.

        Raises:
            BusError: The hub refuses the token.
        """
        messages: list[Message] = []
        for socket, _ in self._poller.poll(timeout_ms):
            if self._monitor and socket is self._monitor.monitor:
                self._monitor.update()
                continue
            arrived = self._drain(socket)
            messages += self._conflate_live(arrived) if self._conflate and self._topics[socket].conflate else arrived
        return messages

    def _drain(self, socket: "zmq.Socket[bytes]") -> list[Message]:
        messages = []
        for _ in range(DRAIN_LIMIT):
            try:
                message = unpack([part.buffer for part in socket.recv_multipart(zmq.NOBLOCK, copy=False)])
            except zmq.Again:
                break
            except BadMessage as reason:
                self.malformed += 1
                log_malformed(self.malformed, reason)
                continue
            self._count_gap(self._topics[socket], message.header)
            messages.append(message)
        return messages

    def _count_gap(self, topic: Topic, header: Header) -> None:
        if topic.sequenced is None:
            return
        number = getattr(header, topic.sequenced)
        last = self._last.get((topic.name, header.stream))
        if last is not None and number > last + 1:
            self.missed[topic.name] += (number - last - 1) // getattr(header, "stride", 1)
        self._last[topic.name, header.stream] = number

    def _conflate_live(self, messages: list[Message]) -> list[Message]:
        newest = {message.header.stream: message for message in messages if not message.header.end_of_stream}
        kept = [m for m in messages if not m.header.live or m.header.end_of_stream or newest[m.header.stream] is m]
        self.conflated += len(messages) - len(kept)
        return kept

    def close(self) -> None:
        """Close the connections."""
        if self._monitor:
            self._monitor.close()
        for socket in self._topics:
            socket.close(linger=0)
