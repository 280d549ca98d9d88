"""Sockets of the bus: where the hub is, the token that lets them in, and whether they are connected to it."""

import os
import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import zmq

from common.bus.token import FILE_VARIABLE, read_token, token_path
from common.errors import UserError

LINGER_MS: Final = 1000  # what was sent before a close still leaves
USER: Final = b"actionstream"  # ZMTP's PLAIN wants a name with the token

# A host that has vanished is noticed by TCP, within KEEPALIVE_IDLE_S + KEEPALIVE_COUNT * KEEPALIVE_S, or SILENCE_MS
# where something is under way to it; and not by ZMTP's heartbeats, which end connections that are alive (decision 14).
KEEPALIVE_IDLE_S, KEEPALIVE_S, KEEPALIVE_COUNT = 3, 2, 3
SILENCE_MS = 9000
CONNECT_MS: Final = 3000  # then another try: TCP itself would wait longer and longer


class Endpoints(NamedTuple):
    """Where the hub is, four ports in a row, and the file with the token that it asks for."""

    host: str = "127.0.0.1"
    port: int = 5550
    token_file: str | None = None

    @classmethod
    def of(cls, host: str | None, port: int | None, token_file: str | None = None) -> "Endpoints":
        """For those without settings: as given, else as the environment says, else as it usually is."""
        usual = cls()
        try:
            said = int(os.environ.get("ACTIONSTREAM__BUS__PORT") or usual.port)
        except ValueError as error:
            raise UserError(f"ACTIONSTREAM__BUS__PORT is no port: {error}.") from error
        return cls(host or os.environ.get("ACTIONSTREAM__BUS__HOST") or usual.host, port or said, token_file)

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

    def token(self) -> bytes:
        """The secret that lets onto this bus; raises UserError."""
        return read_token(token_path(self.token_file))


def open_socket(
    kind: int, *, send: int = 1000, receive: int = 1000, context: "zmq.Context[Any] | None" = None
) -> "zmq.Socket[bytes]":
    """A socket with queues of so many messages each way."""
    socket: zmq.Socket[bytes] = (context or zmq.Context.instance()).socket(kind)
    socket.linger = LINGER_MS
    socket.sndhwm, socket.rcvhwm = send, receive
    socket.tcp_keepalive, socket.tcp_keepalive_idle = 1, KEEPALIVE_IDLE_S
    socket.tcp_keepalive_intvl, socket.tcp_keepalive_cnt = KEEPALIVE_S, KEEPALIVE_COUNT
    return socket


def connect(socket: "zmq.Socket[bytes]", address: str, token: bytes) -> None:
    """Connect to one of the hub's ports; again and again, should the connection be lost."""
    socket.plain_username, socket.plain_password = USER, token
    socket.tcp_maxrt, socket.connect_timeout = SILENCE_MS, CONNECT_MS
    socket.connect(address)


def events(monitor: "zmq.Socket[bytes]") -> Iterator[tuple[int, int]]:
    """What has happened to the connections of a socket: (event, its value)."""
    while monitor.poll(0):
        yield struct.unpack("=hi", monitor.recv_multipart()[0])


class Link:
    """Whether a socket is connected to the hub: `up`, as of the last `look`. Made before the socket connects."""

    def __init__(self, socket: "zmq.Socket[bytes]", endpoints: Endpoints) -> None:
        self.up = False
        self._socket, self._endpoints = socket, endpoints
        self.monitor: zmq.Socket[bytes] = socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_AUTH
        )

    def look(self) -> None:
        """Raises UserError where the hub has refused the token: it is not asked again."""
        for event, _ in events(self.monitor):
            self.up = event == zmq.EVENT_HANDSHAKE_SUCCEEDED
            if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                raise UserError(
                    f"The hub at {self._endpoints.host}:{self._endpoints.port} refuses the token in "
                    f"{token_path(self._endpoints.token_file)}: copy the file of the user who runs the hub, "
                    f"and name it in bus.token_file or {FILE_VARIABLE}."
                )

    def close(self) -> None:
        """Before the socket is closed."""
        self._socket.disable_monitor()  # libzmq waits for ever to report to a monitor that is gone
        self.monitor.close(linger=0)
