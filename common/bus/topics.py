"""Define the topics: the messages of each, its publisher, and the queues of its subscribers."""

from typing import Final, Literal, NamedTuple

import msgspec

from . import messages as m
from .errors import BusError

KEYPOINTS_SIZE: Final = 33 * 4 + 468 * 3 + 2 * 21 * 3  # pose (x, y, z, visibility), face and two hands (x, y, z)


class Topic(NamedTuple):
    """A topic: the header of its messages, and how they are queued."""

    name: str
    header: type[m.Header]
    publisher: str
    hwm: int  # high-water mark: messages a subscriber's queue holds; more are lost, and counted
    conflate: bool = False  # of a live stream a subscriber gets only the newest waiting message
    sequenced: Literal["seq", "number"] | None = None  # the field that counts a stream's messages: a gap is a loss
    shape: tuple[int | None, ...] | None = None  # of its array, an axis of None has any length; None: it has no array
    dtype: str = "<f4"


class _TopicOf(dict[type[m.Header], Topic]):
    def __missing__(self, header: type[m.Header]) -> Topic:
        raise BusError(f"{header.__name__} has no topic: give it one with add_topic.")


_ROWS: Final = (
    Topic("frames", m.Frame, "camera, through the hub", 16, sequenced="seq", shape=(None, None, 3), dtype="u1"),
    Topic(
        "keypoints", m.Keypoints, "keypoints, put in order by the hub", 500, sequenced="seq", shape=(KEYPOINTS_SIZE,)
    ),
    Topic("windows", m.Window, "windows", 64, conflate=True, sequenced="seq", shape=(None, KEYPOINTS_SIZE)),
    Topic("prediction", m.Prediction, "inference", 1000, sequenced="seq"),
    Topic("action", m.Action, "inference", 1000, sequenced="number"),
    Topic("recording", m.Recording, "recorder", 100, conflate=True),
    Topic("command", m.Command, "any client, such as services.control", 100),
    Topic("status", m.Status, "every service", 100),
)


END_TOPICS: Final = {"keypoints", "windows", "prediction", "action"}  # their last message has end_of_stream
TOPICS: Final[dict[str, Topic]] = {row.name: row for row in _ROWS}
TOPIC_OF: Final[dict[type[m.Header], Topic]] = _TopicOf((row.header, row) for row in _ROWS)


def add_topic(name: str, header: type[m.Header], hwm: int = 1000) -> None:
    """Add a topic of your own, in each process that publishes it or listens to it.

    Args:
        name: 1 to 64 letters, digits or _.-, a letter, digit or _ first.
        header: The header of its messages, a subclass of Header; they have no array.
        hwm: High-water mark: messages that a subscriber's queue holds.

    Raises:
        BusError: The name is not one, or is another topic's.
    """
    try:
        msgspec.convert(name, m.Name)
    except msgspec.ValidationError as error:
        raise BusError(f"{name!r} cannot name a topic: use 1 to 64 letters, digits or _.-") from error
    if TOPICS.get(name) != TOPIC_OF.get(header):  # both None: a new topic; the same: added already
        raise BusError(f"{name} cannot carry {header.__name__}: one of them belongs to another topic.")
    TOPICS[name] = TOPIC_OF[header] = Topic(name, header, "you", hwm)


def subscription(topic: str, stream: str = "") -> bytes:
    """Return the prefix to subscribe to, `topic/` or `topic/stream/`; the last slash keeps cam1 from matching cam10."""
    return f"{topic}/{stream}/".encode() if stream else f"{topic}/".encode()


def topic_prefix(header: m.Header) -> bytes:
    """Return the first part of a message, `topic/stream/`.

    Raises:
        BusError: The header has no topic.
    """
    return subscription(TOPIC_OF[type(header)].name, header.stream)
