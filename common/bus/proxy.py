"""Bind the hub's ports, and forward published messages to subscribers."""

import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

import zmq

from .admission import Admission
from .connection import Endpoints, open_socket
from .errors import BusError
from .wire import MAX_MESSAGE_BYTES

READER_HWM: Final = 400  # messages kept for one slow subscriber; half of them may have been read already


class Proxy:
    """Forwards the messages published on the first port to the subscribers on the second; accepts only the token.

    Sockets of the other ports are opened in its `context`, and bound by it before it starts.

    Raises:
        BusError: A port is in use, or there is no token.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        token = endpoints.token()
        self.context: zmq.Context[Any] = zmq.Context()
        self._admission = Admission(self.context, token)
        self._publishers = open_socket(zmq.XSUB, context=self.context)
        self._publishers.maxmsgsize = MAX_MESSAGE_BYTES
        self._subscribers = open_socket(zmq.XPUB, send=READER_HWM, context=self.context)
        self.bind(self._publishers, 0)
        self.bind(self._subscribers, 1)

    @property
    def refused(self) -> int:
        """Connections without the token so far."""
        return self._admission.refused

    def bind(self, socket: "zmq.Socket[bytes]", offset: int) -> None:
        """Bind a socket to one of the four ports; connections to it need the token.

        Raises:
            BusError: The port is in use; the context and all its sockets are then closed.
        """
        self._admission.guard(socket)
        try:
            socket.bind(self._endpoints.tcp(offset))
        except zmq.ZMQError as error:
            self.context.destroy(linger=0)
            raise BusError(
                f"The hub cannot open port {self._endpoints.port + offset} on {self._endpoints.host} "
                f"({error.strerror}): stop what uses it (another pipeline?), or choose four free ports in a row with "
                f"bus.port."
            ) from error

    def start(self, capture: "zmq.Socket[bytes] | None" = None, subscriptions: Iterable[bytes] = ()) -> None:
        """Start the two threads that accept connections and forward messages; when all sockets are bound.

        Args:
            capture: A socket for a copy of each message, and of each subscription.
            subscriptions: Topic prefixes that publishers are to send even without a subscriber.
        """
        for prefix in subscriptions:
            self._publishers.send(b"\x01" + prefix)
        self._admission.start()
        self._thread = threading.Thread(target=self._run, args=(capture,), daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether connections are still accepted and messages forwarded."""
        return self._thread.is_alive() and self._admission.is_alive()

    def _run(self, capture: "zmq.Socket[bytes] | None") -> None:
        try:
            with suppress(zmq.ContextTerminated):
                zmq.proxy(self._publishers, self._subscribers, capture)
        finally:
            for socket in (self._publishers, self._subscribers, capture):
                if socket is not None:
                    socket.close(linger=0)

    def close(self) -> None:
        """End both threads; when the other sockets of the context are closed, for which it would wait."""
        self.context.term()
