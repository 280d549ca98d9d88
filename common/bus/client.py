"""Listen to topics and send commands."""

import contextlib
import time
import weakref
from collections import deque
from typing import Any

from .connection import Endpoints
from .errors import BusError
from .messages import Command, Message
from .pubsub import Publisher, Subscriber
from .topics import TOPIC_OF, TOPICS


def yielded(message: Message) -> Any:
    """Return the header, or for a topic with arrays (header, array); the array is None at the end of a stream."""
    return message.header if TOPIC_OF[type(message.header)].shape is None else (message.header, message.array)


class Listener:
    """An iterator over messages as they arrive, until Ctrl-C; made by `listen`.

    Attributes:
        missed: Messages lost so far, a Counter by topic. It and `connected` may be read from another thread.
    """

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
        self._waiting: deque[Any] = deque()  # received, but not iterated over yet
        self.missed = subscriber.missed
        self.close = weakref.finalize(self, subscriber.close)  # called at the latest when it is collected

    @property
    def connected(self) -> bool:
        """Whether the hub is connected."""
        return self._subscriber.connected

    def receive(self, timeout_s: float) -> list[Any]:
        """Return the messages that have arrived, after waiting up to timeout_s for the first; possibly none.

        Raises:
            BusError: The hub refuses the token.
        """
        waiting, self._waiting = self._waiting, deque()
        messages = self._subscriber.receive(0 if waiting else int(timeout_s * 1000))
        return [*waiting, *map(yielded, messages)]

    def __iter__(self) -> "Listener":
        return self

    def __next__(self) -> Any:
        try:
            while not self._waiting:
                self._waiting = deque(self.receive(timeout_s=1.0))
        except KeyboardInterrupt:  # the way to end a program that only listens
            self.close()
            raise StopIteration from None
        return self._waiting.popleft()


def listen(
    *topics: str, stream: str = "", host: str | None = None, port: int | None = None, token_file: str | None = None
) -> Listener:
    """Iterate over the headers of topics as they arrive, until Ctrl-C; for a topic with arrays, over (header, array).

    A stream's last message has `end_of_stream`; its other fields mean nothing, and its array is None.

    Args:
        topics: Names of topics, such as "action".
        stream: The stream to listen to; empty: all of them.
        host: Where the hub is; None: ACTIONSTREAM__BUS__HOST, else 127.0.0.1.
        port: The first of its four ports; None: ACTIONSTREAM__BUS__PORT, else 5550.
        token_file: The file with the token of the bus; None: ACTIONSTREAM__BUS__TOKEN_FILE, else the user's own.

    Raises:
        BusError: There is no such topic, or no token; later, from the iteration: the hub refuses the token.
    """
    unknown = [name for name in topics if name not in TOPICS]
    if unknown or not topics:
        raise BusError(f"No topic {', '.join(unknown) or 'given'}: choose of {', '.join(TOPICS)}, or use add_topic.")
    return Listener(Subscriber(Endpoints.from_env(host, port, token_file), topics, stream))


def send_command(
    service: str,
    command: str,
    value: str = "",
    *,
    host: str | None = None,
    port: int | None = None,
    token_file: str | None = None,
) -> None:
    """Send a command to a service, such as `send_command("recorder", "pause")`.

    Args:
        service: The name of the service.
        command: What it is to do.
        value: For commands that need one.
        host: As for `listen`.
        port: As for `listen`.
        token_file: As for `listen`.

    Raises:
        BusError: No service subscribes to commands, or the hub refuses the token.
    """
    header = Command(stream=service, seq=0, captured_ns=0, ingested_ns=time.time_ns(), command=command, value=value)
    endpoints = Endpoints.from_env(host, port, token_file)
    with contextlib.closing(Publisher(endpoints)) as publisher:
        if not publisher.wait_for_subscriber("command", service):
            raise BusError(
                f"No service at {endpoints.host}:{endpoints.port} accepts commands: start a pipeline with a {service}."
            )
        publisher.send(header)
