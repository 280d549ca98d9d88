"""What travels on the bus: typed headers, and how they become message parts and headers again.

On the wire a message is two or three parts: topic, header (a plain MessagePack map), and for some topics
one array as raw little-endian bytes. Times are nanoseconds: `captured_ns` on the source's own clock (a
file: its position; the test card: since its first frame; live: Unix time), `entered_ns` in Unix time,
when the frame entered the pipeline.
"""

from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta
from numpy.typing import NDArray

Count = Annotated[int, Meta(ge=0, le=2**53)]
Time = Annotated[int, Meta(ge=-(2**62), le=2**62)]  # sums and differences still fit numpy's int64
Unit = Annotated[float, Meta(ge=0, le=1)]
# No slash, so that a name stays one step of a topic and never leaves its folder.
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\Z")]


class Header(msgspec.Struct, kw_only=True, frozen=True):
    """What every message says: which frame of which stream it is about, and how old that is."""

    stream: Name
    seq: Count
    captured_ns: Time
    entered_ns: Time
    start: Time = 0  # when the source began to send this stream: another number, another beginning
    live: bool = True  # False: a file, of which nothing may be skipped
    end: bool = False  # nothing of this stream follows; seq is the number of its frames
    version: Literal[1] = 1


class Frame(Header, kw_only=True, frozen=True):
    """A picture: uint8 (height, width, 3) BGR rows, or a JPEG file of that size."""

    width: Count = 0
    height: Count = 0
    fps: Annotated[float, Meta(gt=0, le=1000)] = 25.0  # nominal
    encoding: Literal["raw", "jpeg"] = "raw"


class Keypoints(Header, kw_only=True, frozen=True):
    """The landmarks of one frame: float32 (1662,)."""

    seen: tuple[str, ...] = ()
    width: Count = 0
    height: Count = 0
    pose_scale_px: Annotated[float, Meta(ge=0)] = 0.0  # size of the person, for the smoothing


class Window(Header, kw_only=True, frozen=True):
    """The vectors up to a frame, evenly spaced: float32 (length, 1662); empty while too few are there."""

    start_ns: int = 0
    length: Count = 0
    filled: Count = 0  # how many of `length` are there
    stride: Annotated[int, Meta(ge=1)] = 1  # a window at every stride-th frame
    present: Unit = 0.0  # the share of its frames on which a person was seen


class Prediction(Header, kw_only=True, frozen=True):
    """What one window looks like; label None: too early for a window (filled < length), or nobody there."""

    label: str | None = None
    verdict: str | None = None  # the label's second level, as "wrong" of "push up/wrong"; None: it has one level
    confidence: Unit = 0.0
    probabilities: dict[str, Unit] = {}
    smoothed: dict[str, Unit] = {}
    filled: Count = 0
    length: Count = 0
    stride: Annotated[int, Meta(ge=1)] = 1
    present: Unit = 0.0


class Action(Header, kw_only=True, frozen=True):
    """An action started or ended; seconds on the source's clock."""

    number: Count = 0  # of the stream's messages on this topic, from 1; set as it is published
    event: Literal["started", "ended"] = "started"
    id: Count = 0
    label: str = ""  # its first level
    verdict: str | None = None  # the second, as far as known; the last word when the action has ended
    start_s: float = 0.0
    end_s: float | None = None
    confidence: Unit = 0.0

    @property
    def words(self) -> str:
        """For a person to read."""
        return self.label if self.verdict is None else f"{self.label}: {self.verdict}"


class Recording(Header, kw_only=True, frozen=True):
    """What the recorder is doing on a stream, so that whoever is recorded sees what to do."""

    state: Literal["countdown", "ready", "capturing", "paused", "finished"] = "countdown"
    label: str = ""
    number: Count = 0  # of the sequence that comes or is being captured, from 1
    target: Count = 0  # sequences of each label
    countdown_s: float = 0.0
    frames: Count = 0  # captured so far of this sequence
    detail: str = ""  # what became of the last one: "saved", or why it is done again
    progress: dict[str, Count] = {}  # sequences that are there, by label


class Command(Header, kw_only=True, frozen=True):
    """Something a service is asked to do; its stream is the service's name."""

    command: str = ""
    value: str = ""


class Status(Header, kw_only=True, frozen=True):
    """How a service is; its stream is `<service>.<8 digits of this start>`, its seq counts its reports."""

    service: str = ""
    pid: Count = 0
    host: str = ""
    release: str = ""
    state: Literal["starting", "running", "waiting", "stopping"] = "starting"
    detail: str = ""  # what a person should know, such as "camera 0 is gone, trying again"
    rate: float = 0.0  # messages or frames a second
    missed: Count = 0  # frames of its streams that never reached it
    dropped: Count = 0  # frames or messages it put aside itself: too old, or not understood
    age_ms: float = 0.0  # from a frame's entry to the end of this service's work on it, median
    least_age_ms: float = 0.0  # of the youngest frame in the last second: a backlog makes even that one old
    busy: float = 0.0  # processor cores in use
    cpu_s: float = 0.0  # processor time so far
    memory_mb: float = 0.0
    finished: tuple[str, ...] = ()  # streams whose end has passed through


AnyHeader = TypeVar("AnyHeader", bound=Header)


def about(header: Header, kind: type[AnyHeader], **values: Any) -> AnyHeader:
    """A header of another kind about the same frame of the same stream."""
    return kind(
        stream=header.stream,
        seq=header.seq,
        captured_ns=header.captured_ns,
        entered_ns=header.entered_ns,
        start=header.start,
        live=header.live,
        **values,
    )


class Message(NamedTuple):
    """A header and, where its topic has one, its array."""

    header: Header
    array: NDArray[Any] | None = None


class BadMessage(ValueError):
    """Parts that are not a message of this schema; the text says why."""
