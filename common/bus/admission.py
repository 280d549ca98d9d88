"""Who is let onto the bus: the hub's answer to every process that connects, and the count of those it refused."""

import hmac
import logging
import threading
from typing import Any, Final

import zmq

from common.bus.connection import events

log = logging.getLogger(__name__)

ASKED_AT: Final = "inproc://zeromq.zap.01"  # where libzmq asks, by the protocol ZAP
FAILED: Final = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)
HEARD_OF: Final = zmq.EVENT_ACCEPTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | FAILED


class _Port:
    """The connections of one socket that are not let in yet, and how many of them have failed already."""

    def __init__(self) -> None:
        self._waiting: list[int] = []
        self._ending = 0

    def refuses(self, event: int, connection: int) -> bool:
        """Whether this event is of a connection that is not let in, whatever it is that it speaks."""
        if event == zmq.EVENT_ACCEPTED:
            self._waiting.append(connection)
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED and self._waiting:
            # libzmq does not say which; who says nothing at all waits longest. Where that is wrong, a stranger is
            # counted when the other leaves.
            self._waiting.pop()
        elif event & FAILED:
            self._ending += 1  # this one comes to its end as well; HTTP comes to nothing else
            return True
        elif event == zmq.EVENT_DISCONNECTED and connection in self._waiting:
            self._waiting.remove(connection)
            self._ending -= 1
            if self._ending < 0:
                self._ending = 0
                return True
        return False


class Admission:
    """Lets those in who know the token. `refused` counts the others: web pages, programs without the token.

    A thread of its own answers, so that nobody waits while the hub is at work.
    """

    def __init__(self, context: "zmq.Context[Any]", token: bytes) -> None:
        self.refused = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._token = token
        self._asked: zmq.Socket[bytes] = context.socket(zmq.REP)
        self._asked.bind(ASKED_AT)
        self._ports: dict[zmq.Socket[bytes], _Port] = {}  # by monitor

    def guard(self, socket: "zmq.Socket[bytes]") -> None:
        """Nobody gets onto this socket, which does not bind yet, without the token."""
        socket.plain_server = True
        self._ports[socket.get_monitor_socket(HEARD_OF)] = _Port()

    def start(self) -> None:
        """When all are guarded."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether anybody can still be let in."""
        return self._thread.is_alive()

    def _run(self) -> None:
        poller = zmq.Poller()
        for socket in (self._asked, *self._ports):
            poller.register(socket, zmq.POLLIN)
        try:
            while True:
                for socket, _ in poller.poll():
                    self._answer() if socket is self._asked else self._look(socket)
        except zmq.ContextTerminated:
            for socket in (self._asked, *self._ports):
                socket.close(linger=0)

    def _answer(self) -> None:
        version, request, _domain, _address, _identity, mechanism, *credentials = self._asked.recv_multipart()
        known = mechanism == b"PLAIN" and hmac.compare_digest(credentials[1], self._token)
        self._asked.send_multipart([version, request, *((b"200", b"OK") if known else (b"400", b"token")), b"", b""])

    def _look(self, monitor: "zmq.Socket[bytes]") -> None:
        for event, connection in events(monitor):
            if self._ports[monitor].refuses(event, connection):
                self.refused += 1
                if str(self.refused).strip("0") == "1":  # the first, the tenth, the hundredth
                    log.warning("refused a connection without the bus's token, the %d. so far", self.refused)
