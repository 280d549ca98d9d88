"""Open sockets, connect them to the hub, and notice when the connection is lost."""

import os
import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import zmq

from .errors import BusError
from .token import FILE_VARIABLE, read_token, token_path

HOST_VARIABLE: Final = "ACTIONSTREAM__BUS__HOST"
PORT_VARIABLE: Final = "ACTIONSTREAM__BUS__PORT"
LINGER_MS: Final = 1000  # after a close, for what is still queued
USER: Final = b"actionstream"  # ZMTP's PLAIN mechanism requires a name with the token

# A host that has vanished is detected by TCP, within KEEPALIVE_IDLE_S + KEEPALIVE_COUNT * KEEPALIVE_INTERVAL_S, or
# TCP_TIMEOUT_MS where data is being sent to it; not by ZMTP's heartbeats, which end live connections (decision 14).
KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT = 3, 2, 3
TCP_TIMEOUT_MS = 9000
CONNECT_MS: Final = 3000  # then the next attempt: TCP itself would back off


class Endpoints(NamedTuple):
    """Where the hub is (the first of four ports in a row), and the file with the token that it requires."""

    host: str = "127.0.0.1"
    port: int = 5550
    token_file: str | None = None

    @classmethod
    def from_env(cls, host: str | None = None, port: int | None = None, token_file: str | None = None) -> "Endpoints":
        """Make endpoints from the arguments, else the environment, else the defaults.

        Raises:
            BusError: The port in the environment is not a number.
        """
        default = cls()
        try:
            port = port or int(os.environ.get(PORT_VARIABLE) or default.port)
        except ValueError as error:
            raise BusError(
                f"{PORT_VARIABLE} is {os.environ[PORT_VARIABLE]!r}: set it to the hub's first port."
            ) from error
        return cls(host or os.environ.get(HOST_VARIABLE) or default.host, port, token_file)

    def tcp(self, offset: int) -> str:
        """Return the address of one of the four ports."""
        return f"tcp://{self.host}:{self.port + offset}"

    @property
    def publish(self) -> str:
        """The address to publish at."""
        return self.tcp(0)

    @property
    def subscribe(self) -> str:
        """The address to subscribe at, but for frames."""
        return self.tcp(1)

    @property
    def request(self) -> str:
        """The address where cameras send frames and extractors request them."""
        return self.tcp(2)

    @property
    def frames(self) -> str:
        """The address to subscribe at for frames."""
        return self.tcp(3)

    def token(self) -> bytes:
        """Read the token of this bus, and make one if there is none.

        Raises:
            BusError: It cannot be read or made, or others can read it.
        """
        return read_token(token_path(self.token_file))


def open_socket(
    kind: int, *, send: int = 1000, receive: int = 1000, context: "zmq.Context[Any] | None" = None
) -> "zmq.Socket[bytes]":
    """Open a socket with these high-water marks."""
    socket: zmq.Socket[bytes] = (context or zmq.Context.instance()).socket(kind)
    socket.linger = LINGER_MS
    socket.sndhwm, socket.rcvhwm = send, receive
    socket.tcp_keepalive, socket.tcp_keepalive_idle = 1, KEEPALIVE_IDLE_S
    socket.tcp_keepalive_intvl, socket.tcp_keepalive_cnt = KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT
    return socket


def connect(socket: "zmq.Socket[bytes]", address: str, token: bytes) -> None:
    """Connect to one of the hub's ports, and reconnect whenever the connection is lost."""
    socket.plain_username, socket.plain_password = USER, token
    socket.tcp_maxrt, socket.connect_timeout = TCP_TIMEOUT_MS, CONNECT_MS
    socket.connect(address)


def events(monitor: "zmq.Socket[bytes]") -> Iterator[tuple[int, int]]:
    """Yield the events of a socket's connections so far: (event, its value)."""
    while monitor.poll(0):
        yield struct.unpack("=hi", monitor.recv_multipart()[0])


class ConnectionMonitor:
    """Watches whether a socket is connected to the hub; made before the socket connects.

    Attributes:
        connected: As of the last `update`.
    """

    def __init__(self, socket: "zmq.Socket[bytes]", endpoints: Endpoints) -> None:
        self.connected = False
        self._socket, self._endpoints = socket, endpoints
        self.monitor: zmq.Socket[bytes] = socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_AUTH
        )

    def update(self) -> None:
        """Process the events since the last call.

        Raises:
            BusError: The hub has refused the token; libzmq does not try again.
        """
        for event, _ in events(self.monitor):
            self.connected = event == zmq.EVENT_HANDSHAKE_SUCCEEDED
            if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                raise BusError(
                    f"The hub at {self._endpoints.host}:{self._endpoints.port} refuses the token in "
                    f"{token_path(self._endpoints.token_file)}: copy the file of the user who runs the hub, "
                    f"and name it in bus.token_file or {FILE_VARIABLE}."
                )

    def close(self) -> None:
        """Close the monitor; before the socket."""
        if not self.monitor.closed:
            self._socket.disable_monitor()  # else libzmq waits for ever to report to a monitor that is gone
            self.monitor.close(linger=0)
