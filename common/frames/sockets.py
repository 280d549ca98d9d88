"""Send frames from cameras to the hub, from there to extractors on request, and their keypoints back."""

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

PRODUCER_HWM: Final = 4  # frames a camera queues for a slow hub
# Frames the hub queues for one slow viewer: as many as a file sends at once with eight extractors; 150 MB of 1080p. Not
# changed while in use: libzmq does not wake a queue that was full when its HWM was raised, and it may crash.
VIEWER_HWM: Final = 24

# The first part of a message between the hub and a camera or extractor: its kind.
FRAME: Final = b"frame"
ACK: Final = b"ack"  # the stream is published up to this frame
REFUSED: Final = b"refused"  # another camera has a stream of this name
REQUEST: Final = b"request"
PREFETCH: Final = b"prefetch"
RESULT: Final = b"result"
FAILED: Final = b"failed"  # made by the hub from a malformed result
PING: Final = b"ping"


class Refused(Exception):
    """Another camera has a stream of the same name."""


class FrameProducer:
    """The camera's socket: sends frames, and receives acknowledgements."""

    def __init__(self, endpoints: Endpoints) -> None:
        token = endpoints.token()
        self._socket = open_socket(zmq.DEALER, send=PRODUCER_HWM)
        # Nothing is queued without a connection: a frame from before the hub's restart would be outdated.
        self._socket.immediate = True
        connect(self._socket, endpoints.request, token)

    def send(self, header: Frame, image: NDArray[np.uint8] | None, timeout_ms: int = 0) -> bool:
        """Send a frame; returns False if the hub did not accept it in time."""
        if not self._socket.poll(timeout_ms, zmq.POLLOUT):
            return False
        self._socket.send_multipart([FRAME, *pack(header, image)[1:]], copy=False)
        return True

    def acked(self, timeout_ms: int = 0) -> list[Frame]:
        """Return the frames acknowledged since the last call; raises Refused if the stream's name is taken."""
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
        """Close the socket; frames that are queued are still sent."""
        self._socket.close()


class FrameWorker:
    """The extractor's socket: requests a frame, receives it, and replies with its keypoints."""

    def __init__(self, endpoints: Endpoints) -> None:
        token = endpoints.token()
        self._socket = open_socket(zmq.DEALER)
        self._socket.maxmsgsize = MAX_MESSAGE_BYTES
        self._socket.immediate = True
        self._monitor = ConnectionMonitor(self._socket, endpoints)
        connect(self._socket, endpoints.request, token)

    def request(self, prefetch: bool = False) -> bool:
        """Request a frame, or prefetch one of a file while another is in work; returns False without a hub.

        Raises:
            BusError: if the hub refuses the token; an extractor has no other connection that would show it.
        """
        self._monitor.update()
        connected = bool(self._socket.poll(0, zmq.POLLOUT))
        if connected:
            self._socket.send(PREFETCH if prefetch else REQUEST)
        return connected

    def receive(self, timeout_ms: int) -> tuple[Frame, NDArray[Any] | None] | None:
        """Return the requested frame, or None if none arrived in time."""
        while self._socket.poll(timeout_ms):
            kind, *parts = self._socket.recv_multipart(copy=False)
            if kind.bytes == FRAME:
                header = decode_header(Frame, parts[0].buffer)
                return header, decode_array(header, parts[1].buffer)
        return None

    def reply(self, header: Keypoints, vector: NDArray[np.float32], timeout_ms: int = 500) -> bool:
        """Send the keypoints, which also requests the next frame; returns False if the hub is gone."""
        if not self._socket.poll(timeout_ms, zmq.POLLOUT):
            return False
        self._socket.send_multipart([RESULT, *pack(header, vector)[1:]])
        return True

    def close(self) -> None:
        """Close the socket at once."""
        self._monitor.close()
        self._socket.close(linger=0)


class Request(NamedTuple):
    """A message from a camera or an extractor to the hub."""

    peer: bytes
    kind: bytes
    header: Header | None
    payload: Any  # the keypoints, or the undecoded image


class BrokerSockets:
    """The hub's sockets, the only ones that bind: the proxy, frames on request, and frames for viewers.

    Only peers with the token can connect; `refused` counts the others, `malformed` the malformed messages.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self.malformed = 0
        self._proxy = Proxy(endpoints)
        self._router = open_socket(zmq.ROUTER, context=self._proxy.context)
        self._router.maxmsgsize = MAX_MESSAGE_BYTES
        self._router.router_mandatory = True  # sending to a dead extractor raises an error
        self._router.tcp_maxrt = TCP_TIMEOUT_MS  # also to one that receives nothing; readers have no time limit
        self._watch = open_socket(zmq.PUB, send=VIEWER_HWM, context=self._proxy.context)
        self._proxy.bind(self._router, 2)
        self._proxy.bind(self._watch, 3)
        self._proxy.start()

    @property
    def refused(self) -> int:
        """The number of peers that were refused."""
        return self._proxy.refused

    def receive(self, timeout_ms: int) -> list[Request]:
        """Return the messages of cameras and extractors, after waiting up to timeout_ms for the first.

        Raises:
            RuntimeError: if the proxy has ended; the hub must be restarted.
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
        # The hub does not decode images, but a wrong size must not reach an extractor.
        decode_array(header, parts[2].buffer)
        return Request(peer, FRAME, header, parts[2])

    def _result(self, peer: bytes, header: Header, buffer: memoryview) -> Request:
        try:
            array = decode_array(header, buffer)
            if array is None:
                raise BadMessage("a result without keypoints")
        except BadMessage as reason:
            self._count_malformed(reason)
            return Request(peer, FAILED, header, None)  # the frame must not wait for another result
        return Request(peer, RESULT, header, array)

    def send(self, peer: bytes, kind: bytes, header: Header | None = None, payload: Any = None) -> bool:
        """Send to one camera or extractor; returns False if it is gone."""
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
        """Publish a frame to the viewers."""
        self._watch.send_multipart([topic_prefix(header), msgspec.msgpack.encode(header), payload], copy=False)

    def close(self) -> None:
        """Close all sockets."""
        self._router.close(linger=0)
        self._watch.close()
        self._proxy.close()
