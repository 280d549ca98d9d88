"""Frames on request: from cameras to the hub, from there to the extractors that ask, and their keypoints back."""

import threading
from contextlib import suppress
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import zmq
from numpy.typing import NDArray

from common.bus.admission import Admission
from common.bus.connection import SILENCE_MS, Link, connect
from common.bus.messages import BadMessage, Frame, Header, Keypoints, Message
from common.bus.pubsub import DRAIN_LIMIT, Endpoints, complain, open_socket
from common.bus.topics import TOPICS, address
from common.bus.wire import MAX_MESSAGE_BYTES, decode_array, decode_header, pack
from common.errors import UserError

READER_QUEUE: Final = 400  # messages the hub keeps for one slow reader; half of them may have been read already
GIVEN_QUEUE: Final = 4  # pictures a camera keeps for a slow hub
# Pictures the hub keeps for one slow viewer: what a file hands over at once, for eight extractors; 150 MB of 1080p. Not
# changed while it is in use: libzmq does not wake a queue that was full when its depth was raised, and it may crash.
WATCH_QUEUE: Final = 24

# The first part of what passes between the hub and those who hand in or ask for frames.
FRAME: Final = b"frame"
TAKEN: Final = b"taken"  # all of its stream up to this frame is published
REFUSED: Final = b"refused"  # another camera shows a stream of this name
ASK: Final = b"ask"
ASK_AHEAD: Final = b"ask ahead"
RESULT: Final = b"result"
FAILED: Final = b"failed"  # what the hub makes of a result that is none
PING: Final = b"ping"


class Refused(Exception):
    """Another camera shows a stream of the same name."""


class FrameGiver:
    """The camera's end: hands frames in, and hears which of them were taken."""

    def __init__(self, endpoints: Endpoints) -> None:
        token = endpoints.token()
        self._socket = open_socket(zmq.DEALER, send=GIVEN_QUEUE)
        # Nothing is queued for a hub that is not there: a frame from before its restart would be old.
        self._socket.immediate = True
        connect(self._socket, endpoints.request, token)

    def give(self, header: Frame, picture: NDArray[np.uint8] | None, timeout_ms: int = 0) -> bool:
        """Hand a frame in; False if the hub did not accept it in time."""
        if not self._socket.poll(timeout_ms, zmq.POLLOUT):
            return False
        self._socket.send_multipart([FRAME, *pack(header, picture)[1:]], copy=False)
        return True

    def taken(self, timeout_ms: int = 0) -> list[Frame]:
        """Frames up to which, since the last call, all was published; raises Refused for a name that is taken."""
        frames = []
        while self._socket.poll(timeout_ms):
            kind, *parts = self._socket.recv_multipart()
            timeout_ms = 0
            if kind == REFUSED:
                raise Refused
            if kind == TAKEN:
                frames.append(decode_header(TOPICS["frames"], parts[0]))
        return frames  # type: ignore[return-value]

    def close(self) -> None:
        self._socket.close()


class FrameTaker:
    """An extractor's end: asks for a frame, gets one, answers with its keypoints."""

    def __init__(self, endpoints: Endpoints) -> None:
        token = endpoints.token()
        self._socket = open_socket(zmq.DEALER)
        self._socket.maxmsgsize = MAX_MESSAGE_BYTES
        self._socket.immediate = True
        self._link = Link(self._socket, endpoints)
        connect(self._socket, endpoints.request, token)

    def ask(self, ahead: bool = False) -> bool:
        """Ask for a frame; `ahead`, for one of a file while another is being worked on. False without a hub.

        Raises UserError where the hub refuses the token: an extractor listens to nothing else that would tell.
        """
        self._link.look()
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
        self._link.close()
        self._socket.close(linger=0)


class Request(NamedTuple):
    """Something a camera or an extractor said to the hub."""

    peer: bytes
    kind: bytes
    header: Header | None
    payload: Any  # the array part, as it came


class HubSockets:
    """The hub's end, which alone binds: the proxy, frames on request, frames to watch; for those with the token.

    `bad` counts what was no request, `refused` who was not let in.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self.bad = 0
        token = endpoints.token()
        self._context: zmq.Context[Any] = zmq.Context()
        self._admission = Admission(self._context, token)
        proxy_in = open_socket(zmq.XSUB, context=self._context)
        proxy_in.maxmsgsize = MAX_MESSAGE_BYTES
        proxy_out = open_socket(zmq.XPUB, send=READER_QUEUE, context=self._context)
        self._router = open_socket(zmq.ROUTER, context=self._context)
        self._router.maxmsgsize = MAX_MESSAGE_BYTES
        self._router.router_mandatory = True  # a dead extractor shows as an error, not as silence
        self._router.tcp_maxrt = SILENCE_MS  # and one that takes nothing; readers may take as long as they like
        self._watch = open_socket(zmq.PUB, send=WATCH_QUEUE, context=self._context)
        for offset, socket in enumerate((proxy_in, proxy_out, self._router, self._watch)):
            self._admission.guard(socket)
            self._bind(socket, endpoints, offset)
        self._admission.start()
        self._proxy = threading.Thread(target=self._run_proxy, args=(proxy_in, proxy_out), daemon=True)
        self._proxy.start()

    @property
    def refused(self) -> int:
        return self._admission.refused

    def _bind(self, socket: "zmq.Socket[bytes]", endpoints: Endpoints, offset: int) -> None:
        try:
            socket.bind(endpoints.tcp(offset))
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise UserError(
                f"The hub cannot open port {endpoints.port + offset} on {endpoints.host} ({error.strerror}): stop what "
                f"uses it (another pipeline?), or choose four free ports in a row with bus.port."
            ) from error

    @staticmethod
    def _run_proxy(frontend: "zmq.Socket[bytes]", backend: "zmq.Socket[bytes]") -> None:
        try:
            with suppress(zmq.ContextTerminated):
                zmq.proxy(frontend, backend)
        finally:
            frontend.close(linger=0)
            backend.close(linger=0)

    def receive(self, timeout_ms: int) -> list[Request]:
        """What cameras and extractors have said, after waiting up to timeout_ms for the first.

        Raises RuntimeError if messages are no longer passed on: only another hub can help.
        """
        if not (self._proxy.is_alive() and self._admission.is_alive()):
            raise RuntimeError("the proxy of the hub has ended")
        requests: list[Request] = []
        self._router.poll(timeout_ms)
        for _ in range(DRAIN_LIMIT):
            try:
                peer, *parts = self._router.recv_multipart(zmq.NOBLOCK, copy=False)
                requests.append(self._understand(peer.bytes, parts))
            except zmq.Again:
                break
            except BadMessage as reason:
                self._count_bad(reason)
        return requests

    def _count_bad(self, reason: BadMessage) -> None:
        self.bad += 1
        complain(self.bad, reason)

    def _understand(self, peer: bytes, parts: list["zmq.Frame"]) -> Request:
        kind = parts[0].bytes if parts else b""
        if kind in (ASK, ASK_AHEAD):
            return Request(peer, kind, None, None)
        if kind not in (FRAME, RESULT) or len(parts) != 3:
            raise BadMessage(f"{kind[:20]!r} with {len(parts)} parts")
        topic = TOPICS["frames" if kind == FRAME else "keypoints"]
        header = decode_header(topic, parts[1].buffer)
        if kind == RESULT:
            return self._result(peer, header, parts[2].buffer)
        # The hub passes pictures on unread, but a size that lies must not reach an extractor.
        decode_array(topic, header, parts[2].buffer)
        return Request(peer, FRAME, header, parts[2])

    def _result(self, peer: bytes, header: Header, buffer: memoryview) -> Request:
        try:
            array = decode_array(TOPICS["keypoints"], header, buffer)
            if array is None:
                raise BadMessage("a result without keypoints")
        except BadMessage as reason:
            self._count_bad(reason)
            return Request(peer, FAILED, header, None)  # the frame must not wait for another answer
        return Request(peer, RESULT, header, array)

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
