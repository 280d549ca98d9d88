"""Authenticate each connection to the hub by the token, and count those that are refused."""

import hmac
import logging
import threading
from typing import Any, Final

import zmq

from .connection import events

log = logging.getLogger(__name__)

ZAP_ADDRESS: Final = "inproc://zeromq.zap.01"  # where libzmq sends its requests by the protocol ZAP
FAILED: Final = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)
MONITORED: Final = zmq.EVENT_ACCEPTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | FAILED


class _Port:
    """The connections of one socket that are not authenticated yet, and how many of them have failed already."""

    def __init__(self) -> None:
        self._waiting: list[int] = []
        self._ending = 0

    def refuses(self, event: int, connection: int) -> bool:
        """Whether this event means that a connection is refused, whatever its protocol."""
        if event == zmq.EVENT_ACCEPTED:
            self._waiting.append(connection)
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED and self._waiting:
            # libzmq does not say which one; a client that sends nothing waits longest. Where that is wrong, the other
            # is counted when this one leaves.
            self._waiting.pop()
        elif event & FAILED:
            self._ending += 1  # it disconnects later; an HTTP client causes no other event
            return True
        elif event == zmq.EVENT_DISCONNECTED and connection in self._waiting:
            self._waiting.remove(connection)
            self._ending -= 1
            if self._ending < 0:
                self._ending = 0
                return True
        return False


class Admission:
    """Accepts the connections of processes that know the token, on a thread of its own.

    Attributes:
        refused: Connections refused so far: of web pages, and of programs without the token.
    """

    def __init__(self, context: "zmq.Context[Any]", token: bytes) -> None:
        self.refused = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._token = token
        self._zap: zmq.Socket[bytes] = context.socket(zmq.REP)
        self._zap.bind(ZAP_ADDRESS)
        self._ports: dict[zmq.Socket[bytes], _Port] = {}  # by monitor

    def guard(self, socket: "zmq.Socket[bytes]") -> None:
        """Require the token on this socket; before it binds."""
        socket.plain_server = True
        self._ports[socket.get_monitor_socket(MONITORED)] = _Port()

    def start(self) -> None:
        """Begin to authenticate; when all sockets are guarded."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether connections can still be accepted."""
        return self._thread.is_alive()

    def _run(self) -> None:
        poller = zmq.Poller()
        for socket in (self._zap, *self._ports):
            poller.register(socket, zmq.POLLIN)
        try:
            while True:
                for socket, _ in poller.poll():
                    if socket is self._zap:
                        self._answer()
                    else:
                        self._read_events(socket)
        except zmq.ContextTerminated:
            for socket in (self._zap, *self._ports):
                socket.close(linger=0)

    def _answer(self) -> None:
        version, request, _domain, _address, _identity, mechanism, *credentials = self._zap.recv_multipart()
        known = mechanism == b"PLAIN" and hmac.compare_digest(credentials[1], self._token)
        self._zap.send_multipart([version, request, *((b"200", b"OK") if known else (b"400", b"token")), b"", b""])

    def _read_events(self, monitor: "zmq.Socket[bytes]") -> None:
        for event, connection in events(monitor):
            if self._ports[monitor].refuses(event, connection):
                self.refused += 1
                if str(self.refused).strip("0") == "1":  # the first, the tenth, the hundredth
                    log.warning("refused a connection without the bus's token, the %d. so far", self.refused)
