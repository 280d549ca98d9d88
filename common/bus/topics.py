"""Define the topics: what each carries, who publishes it, how it is read and how deep its queue is."""

from typing import Final, Literal, NamedTuple

from . import messages as m

KEYPOINTS_SIZE: Final = 33 * 4 + 468 * 3 + 2 * 21 * 3  # pose (x, y, z, visibility), face and two hands (x, y, z)


class Topic(NamedTuple):
    """A row of the table of topics."""

    name: str
    header: type[m.Header]
    publisher: str
    hwm: int  # high-water mark: messages a subscriber's queue holds; more are lost, and counted
    conflate: bool = False  # of a live stream a subscriber gets only the newest waiting message
    sequenced: Literal["seq", "number"] | None = (
        None  # the header field that counts a stream's messages: a gap is a loss
    )
    shape: tuple[int | None, ...] | None = None  # of its array; None: any length
    dtype: str = "<f4"


_ROWS: Final = (
    Topic("frames", m.Frame, "camera, through the hub", 16, sequenced="seq", shape=(None, None, 3), dtype="u1"),
    Topic(
        "keypoints", m.Keypoints, "keypoints, put in order by the hub", 500, sequenced="seq", shape=(KEYPOINTS_SIZE,)
    ),
    Topic("windows", m.Window, "windows", 64, conflate=True, sequenced="seq", shape=(None, KEYPOINTS_SIZE)),
    Topic("prediction", m.Prediction, "inference", 1000, sequenced="seq"),
    Topic("action", m.Action, "inference", 1000, sequenced="number"),
    Topic("recording", m.Recording, "recorder", 100, conflate=True),
    Topic("command", m.Command, "any client: a page, a command line", 100),
    Topic("status", m.Status, "every service", 100),
)

END_TOPICS: Final = {"keypoints", "windows", "prediction", "action"}  # their last message has end_of_stream
TOPICS: Final[dict[str, Topic]] = {row.name: row for row in _ROWS}
TOPIC_OF: Final[dict[type[m.Header], Topic]] = {row.header: row for row in _ROWS}


def topic_prefix(header: m.Header) -> bytes:
    """Return the first part of a message, `topic/stream/`; the final slash keeps cam1 from matching cam10."""
    return f"{TOPIC_OF[type(header)].name}/{header.stream}/".encode()
