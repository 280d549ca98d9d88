"""Frames on request: from cameras to the hub, from there to the extractors that ask, and their keypoints back."""

from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import zmq
from numpy.typing import NDArray

from common.bus.connection import TCP_TIMEOUT_MS, ConnectionMonitor, Endpoints, connect, open_socket
from common.bus.errors import BadMessage, log_malformed
from common.bus.messages import Frame, Header, Keypoints
from common.bus.proxy import Proxy
from common.bus.pubsub import DRAIN_LIMIT
from common.bus.topics import topic_prefix
from common.bus.wire import MAX_MESSAGE_BYTES, decode_array, decode_header, pack

PRODUCER_HWM: Final = 4  # pictures a camera keeps for a slow hub
# Pictures the hub keeps for one slow viewer: what a file hands over at once, for eight extractors; 150 MB of 1080p. Not
# changed while it is in use: libzmq does not wake a queue that was full when its depth was raised, and it may crash.
VIEWER_HWM: Final = 24

# The first part of what passes between the hub and those who hand in or ask for frames.
FRAME: Final = b"frame"
ACK: Final = b"ack"  # all of its stream up to this frame is published
REFUSED: Final = b"refused"  # another camera shows a stream of this name
REQUEST: Final = b"request"
PREFETCH: Final = b"prefetch"
RESULT: Final = b"result"
FAILED: Final = b"failed"  # what the hub makes of a result that is none
PING: Final = b"ping"


class Refused(Exception):
    """Another camera shows a stream of the same name."""


class FrameProducer:
    """The camera's end: hands frames in, and hears which of them were taken."""

    def __init__(self, endpoints: Endpoints) -> None:
        token = endpoints.token()
        self._socket = open_socket(zmq.DEALER, send=PRODUCER_HWM)
        # Nothing is queued for a hub that is not there: a frame from before its restart would be old.
        self._socket.immediate = True
        connect(self._socket, endpoints.request, token)

    def send(self, header: Frame, picture: NDArray[np.uint8] | None, timeout_ms: int = 0) -> bool:
        """Hand a frame in; False if the hub did not accept it in time."""
        if not self._socket.poll(timeout_ms, zmq.POLLOUT):
            return False
        self._socket.send_multipart([FRAME, *pack(header, picture)[1:]], copy=False)
        return True

    def acked(self, timeout_ms: int = 0) -> list[Frame]:
        """Frames up to which, since the last call, all was published; raises Refused for a name that is taken."""
        frames = []
        while self._socket.poll(timeout_ms):
            kind, *parts = self._socket.recv_multipart()
            timeout_ms = 0
            if kind == REFUSED:
                raise Refused
            if kind == ACK:
                frames.append(decode_header(Frame, parts[0]))
        return frames

    def close(self) -> None:
        self._socket.close()


class FrameWorker:
    """An extractor's end: asks for a frame, gets one, answers with its keypoints."""

    def __init__(self, endpoints: Endpoints) -> None:
        token = endpoints.token()
        self._socket = open_socket(zmq.DEALER)
        self._socket.maxmsgsize = MAX_MESSAGE_BYTES
        self._socket.immediate = True
        self._link = ConnectionMonitor(self._socket, endpoints)
        connect(self._socket, endpoints.request, token)

    def request(self, prefetch: bool = False) -> bool:
        """Ask for a frame; `ahead`, for one of a file while another is being worked on. False without a hub.

        Raises BusError where the hub refuses the token: an extractor listens to nothing else that would tell.
        """
        self._link.update()
        connected = bool(self._socket.poll(0, zmq.POLLOUT))
        if connected:
            self._socket.send(PREFETCH if prefetch else REQUEST)
        return connected

    def receive(self, timeout_ms: int) -> tuple[Frame, NDArray[Any] | None] | None:
        """The frame that was asked for, or None if none came in time."""
        while self._socket.poll(timeout_ms):
            kind, *parts = self._socket.recv_multipart(copy=False)
            if kind.bytes == FRAME:
                header = decode_header(Frame, parts[0].buffer)
                return header, decode_array(header, parts[1].buffer)
        return None

    def reply(self, header: Keypoints, vector: NDArray[np.float32], timeout_ms: int = 500) -> bool:
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


class BrokerSockets:
    """The hub's end, which alone binds: the proxy, frames on request, frames to watch; for those with the token.

    `bad` counts what was no request, `refused` who was not let in.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self.malformed = 0
        self._proxy = Proxy(endpoints)
        self._router = open_socket(zmq.ROUTER, context=self._proxy.context)
        self._router.maxmsgsize = MAX_MESSAGE_BYTES
        self._router.router_mandatory = True  # a dead extractor shows as an error, not as silence
        self._router.tcp_maxrt = TCP_TIMEOUT_MS  # and one that takes nothing; readers may take as long as they like
        self._watch = open_socket(zmq.PUB, send=VIEWER_HWM, context=self._proxy.context)
        self._proxy.bind(self._router, 2)
        self._proxy.bind(self._watch, 3)
        self._proxy.start()

    @property
    def refused(self) -> int:
        return self._proxy.refused

    def receive(self, timeout_ms: int) -> list[Request]:
        """What cameras and extractors have said, after waiting up to timeout_ms for the first.

        Raises RuntimeError if messages are no longer passed on: only another hub can help.
        """
        if not self._proxy.is_alive():
            raise RuntimeError("the proxy of the hub has ended")
        requests: list[Request] = []
        self._router.poll(timeout_ms)
        for _ in range(DRAIN_LIMIT):
            try:
                peer, *parts = self._router.recv_multipart(zmq.NOBLOCK, copy=False)
                requests.append(self._parse(peer.bytes, parts))
            except zmq.Again:
                break
            except BadMessage as reason:
                self._count_malformed(reason)
        return requests

    def _count_malformed(self, reason: BadMessage) -> None:
        self.malformed += 1
        log_malformed(self.malformed, reason)

    def _parse(self, peer: bytes, parts: list["zmq.Frame"]) -> Request:
        kind = parts[0].bytes if parts else b""
        if kind in (REQUEST, PREFETCH):
            return Request(peer, kind, None, None)
        if kind not in (FRAME, RESULT) or len(parts) != 3:
            raise BadMessage(f"{kind[:20]!r} with {len(parts)} parts")
        header = decode_header(Frame if kind == FRAME else Keypoints, parts[1].buffer)
        if kind == RESULT:
            return self._result(peer, header, parts[2].buffer)
        # The hub passes pictures on unread, but a size that lies must not reach an extractor.
        decode_array(header, parts[2].buffer)
        return Request(peer, FRAME, header, parts[2])

    def _result(self, peer: bytes, header: Header, buffer: memoryview) -> Request:
        try:
            array = decode_array(header, buffer)
            if array is None:
                raise BadMessage("a result without keypoints")
        except BadMessage as reason:
            self._count_malformed(reason)
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

    def publish_frame(self, header: Frame, payload: Any) -> None:
        """Show a frame to whoever watches."""
        self._watch.send_multipart([topic_prefix(header), msgspec.msgpack.encode(header), payload], copy=False)

    def close(self) -> None:
        self._router.close(linger=0)
        self._watch.close()
        self._proxy.close()
