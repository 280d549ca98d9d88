"""The bus: headers and arrays in, the same headers and arrays out in other processes. Only here is zmq.

A consumer needs nothing but `listen`:

    from common.bus import listen
    for action in listen("action"):
        print(action.event, action.label)
"""

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import zmq
from numpy.typing import NDArray

from common.errors import UserError
from common.messages import BadMessage, Command, Frame, Header, Keypoints, Message
from common.topics import TOPICS, Topic, address
from common.wire import MAX_MESSAGE_BYTES, decode_array, decode_header, pack, unpack

log = logging.getLogger(__name__)

LINGER_MS: Final = 1000  # what was sent before a close still leaves
READER_QUEUE: Final = 400  # messages the hub keeps for one slow reader; half of them may have been read already
ANSWER_MS: Final = 2000  # for a hub to say who listens
WATCH_QUEUE: Final = 4  # pictures the hub keeps for one slow viewer
VIDEO_QUEUE: Final = 64  # and where a video is written of them: a file's frames come in bursts
DRAIN_LIMIT: Final = 500  # messages taken at once, so that a flood does not keep a service from its other work

# The first part of what passes between the hub and those who hand in or ask for frames.
FRAME: Final = b"frame"
TAKEN: Final = b"taken"
ASK: Final = b"ask"
ASK_AHEAD: Final = b"ask ahead"
RESULT: Final = b"result"
PING: Final = b"ping"


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

    def _tcp(self, offset: int) -> str:
        return f"tcp://{self.host}:{self.port + offset}"

    @property
    def publish(self) -> str:
        return self._tcp(0)

    @property
    def subscribe(self) -> str:
        return self._tcp(1)

    @property
    def request(self) -> str:
        return self._tcp(2)

    @property
    def watch(self) -> str:
        return self._tcp(3)


# --- publish and subscribe ------------------------------------------------------------------------


def _socket(
    kind: int, *, send: int = 1000, receive: int = 1000, context: "zmq.Context[Any] | None" = None
) -> "zmq.Socket[bytes]":
    socket: zmq.Socket[bytes] = (context or zmq.Context.instance()).socket(kind)
    socket.linger = LINGER_MS
    socket.sndhwm, socket.rcvhwm = send, receive
    return socket


def _complain(count: int, reason: BadMessage) -> None:
    """Name the first foreign message, the tenth, the hundredth: a flood of them must not flood the log."""
    if str(count).strip("0") == "1":
        log.warning("dropped a foreign or malformed message (%s); %d so far", reason, count)


class Publisher:
    """Sends messages to everybody who listens; never waits."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._socket = _socket(zmq.PUB)
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
        self._last_seq: dict[tuple[str, str], int] = {}
        self._poller = zmq.Poller()
        self._topics: dict[zmq.Socket[bytes], Topic] = {}
        for name in topics:
            socket = _socket(zmq.SUB, receive=(depths or {}).get(name, TOPICS[name].depth))
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
                _complain(self.bad, reason)
                continue
            self._count_gap(self._topics[socket], message.header)
            messages.append(message)
        return messages

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
    socket = _socket(zmq.XPUB)  # like PUB, but it hears who listens: before that, what is sent is lost
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


# --- frames on request ----------------------------------------------------------------------------


class FrameGiver:
    """The camera's end: hands frames in, and hears which of them were taken."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._socket = _socket(zmq.DEALER, send=WATCH_QUEUE)
        # Nothing is queued for a hub that is not there: a frame from before its restart would be old.
        self._socket.immediate = True
        self._socket.connect(endpoints.request)

    def give(self, header: Frame, picture: NDArray[np.uint8] | None, timeout_ms: int = 0) -> bool:
        """Hand a frame in; False if the hub did not accept it in time."""
        if not self._socket.poll(timeout_ms, zmq.POLLOUT):
            return False
        self._socket.send_multipart([FRAME, *pack(header, picture)[1:]], copy=False)
        return True

    def taken(self, timeout_ms: int = 0) -> list[int]:
        """The numbers of the frames that were taken since the last call."""
        numbers = []
        while self._socket.poll(timeout_ms):
            _, part = self._socket.recv_multipart()
            numbers.append(decode_header(TOPICS["frames"], part).seq)
            timeout_ms = 0
        return numbers

    def close(self) -> None:
        self._socket.close()


class FrameTaker:
    """An extractor's end: asks for a frame, gets one, answers with its keypoints."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._socket = _socket(zmq.DEALER)
        self._socket.maxmsgsize = MAX_MESSAGE_BYTES
        self._socket.immediate = True
        self._socket.connect(endpoints.request)

    def ask(self, ahead: bool = False) -> bool:
        """Ask for a frame; `ahead`, for one of a file while another is being worked on. False without a hub."""
        connected = bool(self._socket.poll(0, zmq.POLLOUT))
        if connected:
            self._socket.send(ASK_AHEAD if ahead else ASK)
        return connected

    def take(self, timeout_ms: int) -> Message | None:
        """The frame that was asked for, or None if none came in time."""
        while self._socket.poll(timeout_ms):
            kind, *parts = self._socket.recv_multipart(copy=False)
            if kind.bytes == FRAME:
                header = decode_header(TOPICS["frames"], parts[0].buffer)
                return Message(header, decode_array(TOPICS["frames"], header, parts[1].buffer))
        return None

    def answer(self, header: Keypoints, vector: NDArray[np.float32], timeout_ms: int = 500) -> bool:
        """Send the keypoints, and with them ask anew; False if the hub is gone, and with it the frame."""
        if not self._socket.poll(timeout_ms, zmq.POLLOUT):
            return False
        self._socket.send_multipart([RESULT, *pack(header, vector)[1:]])
        return True

    def close(self) -> None:
        self._socket.close(linger=0)


class Request(NamedTuple):
    """Something a camera or an extractor said to the hub."""

    peer: bytes
    kind: bytes
    header: Header | None
    payload: Any  # the array part, as it came


class HubSockets:
    """The hub's end, which alone binds: the proxy, frames on request, frames to watch."""

    def __init__(self, endpoints: Endpoints, watch_queue: int = WATCH_QUEUE) -> None:
        self.bad = 0
        self._context: zmq.Context[Any] = zmq.Context()
        proxy_in, proxy_out = self._context.socket(zmq.XSUB), self._context.socket(zmq.XPUB)
        proxy_in.maxmsgsize = MAX_MESSAGE_BYTES
        proxy_out.sndhwm = READER_QUEUE
        self._router = _socket(zmq.ROUTER, context=self._context)
        self._router.maxmsgsize = MAX_MESSAGE_BYTES
        self._router.router_mandatory = True  # a dead extractor shows as an error, not as silence
        self._watch = _socket(zmq.PUB, send=watch_queue, context=self._context)
        pairs = zip((proxy_in, proxy_out, self._router, self._watch), range(4), strict=True)
        for socket, offset in pairs:
            self._bind(socket, endpoints, offset)
        threading.Thread(target=self._run_proxy, args=(proxy_in, proxy_out), daemon=True).start()

    def _bind(self, socket: "zmq.Socket[bytes]", endpoints: Endpoints, offset: int) -> None:
        try:
            socket.bind(endpoints._tcp(offset))
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise UserError(
                f"The hub cannot open port {endpoints.port + offset} on {endpoints.host} ({error.strerror}): stop what "
                f"uses it (another pipeline?), or choose four free ports in a row with bus.port."
            ) from error

    @staticmethod
    def _run_proxy(frontend: "zmq.Socket[bytes]", backend: "zmq.Socket[bytes]") -> None:
        try:
            zmq.proxy(frontend, backend)
        except zmq.ContextTerminated:
            frontend.close(linger=0)
            backend.close(linger=0)

    def receive(self, timeout_ms: int) -> list[Request]:
        """What cameras and extractors have said, after waiting up to timeout_ms for the first."""
        requests: list[Request] = []
        self._router.poll(timeout_ms)
        for _ in range(DRAIN_LIMIT):
            try:
                peer, *parts = self._router.recv_multipart(zmq.NOBLOCK, copy=False)
                requests.append(self._understand(peer.bytes, parts))
            except zmq.Again:
                break
            except BadMessage as reason:
                self.bad += 1
                _complain(self.bad, reason)
        return requests

    @staticmethod
    def _understand(peer: bytes, parts: list["zmq.Frame"]) -> Request:
        kind = parts[0].bytes if parts else b""
        if kind in (ASK, ASK_AHEAD):
            return Request(peer, kind, None, None)
        if kind not in (FRAME, RESULT) or len(parts) != 3:
            raise BadMessage(f"{kind[:20]!r} with {len(parts)} parts")
        topic = TOPICS["frames" if kind == FRAME else "keypoints"]
        header = decode_header(topic, parts[1].buffer)
        # The hub passes pictures on unread, but a size that lies must not reach an extractor.
        array = decode_array(topic, header, parts[2].buffer)
        if kind == RESULT and array is None:
            raise BadMessage("a result without keypoints")
        return Request(peer, kind, header, parts[2] if kind == FRAME else array)

    def send(self, peer: bytes, kind: bytes, header: Header | None = None, payload: Any = None) -> bool:
        """Send to one camera or extractor; False if it is gone."""
        parts = [peer, kind]
        if header is not None:
            parts.append(msgspec.msgpack.encode(header))
        if payload is not None:
            parts.append(payload)
        try:
            self._router.send_multipart(parts, zmq.NOBLOCK, copy=False)
        except zmq.ZMQError:
            return False
        return True

    def watch(self, header: Frame, payload: Any) -> None:
        """Show a frame to whoever watches."""
        self._watch.send_multipart([address(header), msgspec.msgpack.encode(header), payload], copy=False)

    def close(self) -> None:
        self._router.close(linger=0)
        self._watch.close()
        self._context.term()
