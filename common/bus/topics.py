"""The one table of topics: what each carries, who writes it, how it is read and how deep it queues."""

from typing import Final, Literal, NamedTuple

from common.bus import messages as m
from common.keypoints.landmarks import SIZE


class Topic(NamedTuple):
    """A row of the table. `array` is the shape of its array, None standing for any length."""

    name: str
    header: type[m.Header]
    writer: str
    depth: int  # messages a reader's queue holds; what comes after is lost, and counted
    newest: bool = False  # of a live stream only the newest waiting message counts
    counts: Literal["seq", "number"] | None = None  # what goes up by one a message, of a stream: a gap in it is a loss
    array: tuple[int | None, ...] | None = None
    dtype: str = "<f4"


_ROWS: Final = (
    Topic("frames", m.Frame, "camera, through the hub", 16, counts="seq", array=(None, None, 3), dtype="u1"),
    Topic("keypoints", m.Keypoints, "keypoints, put in order by the hub", 500, counts="seq", array=(SIZE,)),
    Topic("windows", m.Window, "windows", 64, newest=True, counts="seq", array=(None, SIZE)),
    Topic("prediction", m.Prediction, "inference", 1000, counts="seq"),
    Topic("action", m.Action, "inference", 1000, counts="number"),
    Topic("recording", m.Recording, "recorder", 100, newest=True),
    Topic("command", m.Command, "who asks: a page, a command line", 100),
    Topic("status", m.Status, "every service", 100),
)

ENDING: Final = {"keypoints", "windows", "prediction", "action"}  # topics that say when a stream has ended
TOPICS: Final[dict[str, Topic]] = {row.name: row for row in _ROWS}
TOPIC_OF: Final[dict[type[m.Header], Topic]] = {row.header: row for row in _ROWS}


def address(header: m.Header) -> bytes:
    """The topic part of a message: `name/stream/`; its closing slash keeps cam1 from hearing cam10."""
    return f"{TOPIC_OF[type(header)].name}/{header.stream}/".encode()
