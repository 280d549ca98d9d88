"""Define the header of each topic's messages.

On the wire a message is two or three parts: topic, header (a plain MessagePack map), and for some topics
one array as raw little-endian bytes. Times are nanoseconds: `captured_ns` on the source's own clock (a
file: its position; the test card: since its first frame; live: Unix time), `ingested_ns` in Unix time,
when the frame entered the pipeline.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta
from numpy.typing import NDArray

Count = Annotated[int, Meta(ge=0, le=2**53)]
Time = Annotated[int, Meta(ge=-(2**62), le=2**62)]  # sums and differences still fit numpy's int64
Probability = Annotated[float, Meta(ge=0, le=1)]
# No slash, so that a name stays one step of a topic and never leaves its folder.
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\Z")]


class Header(msgspec.Struct, kw_only=True, frozen=True):
    """The fields of every message: the frame that it is about, and when that was captured and ingested."""

    stream: Name  # the camera's or file's name
    seq: Count  # the frame's number, from 0
    captured_ns: Time  # when it was captured, on the source's own clock
    ingested_ns: Time  # when it entered the pipeline, in Unix time
    start: Time = 0  # when the source began to send this stream: another value after a restart
    live: bool = True  # false: a file, of which no frame may be skipped
    end_of_stream: bool = False  # nothing of this stream follows; seq is then its number of frames
    protocol: Literal[1] = 1


class Frame(Header, kw_only=True, frozen=True):
    """An image: uint8 (height, width, 3) BGR rows, or a JPEG file of that size."""

    width: Count = 0
    height: Count = 0
    fps: Annotated[float, Meta(gt=0, le=1000)] = 25.0  # nominal
    encoding: Literal["raw", "jpeg"] = "raw"


class Keypoints(Header, kw_only=True, frozen=True):
    """The landmarks of one frame: float32 (1662,)."""

    detected_parts: tuple[str, ...] = ()  # of pose, face, left_hand, right_hand; the others are zeros
    width: Count = 0  # of the frame
    height: Count = 0
    person_size_px: Annotated[float, Meta(ge=0)] = 0.0  # side of the square around the person, for the smoothing


class Window(Header, kw_only=True, frozen=True):
    """The keypoints up to a frame, evenly spaced in time: float32 (length, 1662); empty while filled < length."""

    start_ns: int = 0  # when its first frame was captured
    length: Count = 0
    filled: Count = 0  # frames so far, up to length
    stride: Annotated[int, Meta(ge=1)] = 1  # a window at every stride-th frame
    person_ratio: Probability = 0.0  # fraction of its frames in which a person was detected


class Prediction(Header, kw_only=True, frozen=True):
    """The classification of one window; label None: too few frames yet (filled < length), or no person in view."""

    label: str | None = None  # the most probable one
    verdict: str | None = None  # the label's second level, as "wrong" of "push up/wrong"; None: it has one level
    confidence: Probability = 0.0  # of the label
    probabilities: dict[str, Probability] = {}  # by label
    smoothed: dict[str, Probability] = {}  # their exponential moving average
    filled: Count = 0  # of the window, as the next three
    length: Count = 0
    stride: Annotated[int, Meta(ge=1)] = 1
    person_ratio: Probability = 0.0


class Action(Header, kw_only=True, frozen=True):
    """An action started or ended; seconds on the source's clock."""

    number: Count = 0  # of the stream's messages on this topic, from 1; set as it is published
    event: Literal["started", "ended"] = "started"
    id: Count = 0  # the same when it starts and when it ends
    label: str = ""  # the first level
    verdict: str | None = None  # the second level: preliminary when it starts, final when it has ended
    start_s: float = 0.0
    end_s: float | None = None  # None when it starts
    confidence: Probability = 0.0  # the highest so far

    @property
    def display_text(self) -> str:
        """The label, with its verdict if it has one, for a person to read."""
        return self.label if self.verdict is None else f"{self.label}: {self.verdict}"


class Recording(Header, kw_only=True, frozen=True):
    """The state of a recording session, for display to the person who is recorded."""

    state: Literal["countdown", "ready", "capturing", "paused", "finished"] = "countdown"
    label: str = ""
    number: Count = 0  # of the next or current sequence, from 1
    target: Count = 0  # sequences of each label
    countdown_s: float = 0.0
    frames: Count = 0  # captured so far of this sequence
    detail: str = ""  # the result of the last one: "saved", or why it is repeated
    progress: dict[str, Count] = {}  # sequences saved, by label


class Command(Header, kw_only=True, frozen=True):
    """A request to a service; its stream is the service's name."""

    command: str = ""  # of the recorder: pause (and resume), retake, skip, stop
    value: str = ""  # for commands that need one


class Status(Header, kw_only=True, frozen=True):
    """The state of a process; its stream is `<service>.<8 digits of this start>`, its seq counts its reports."""

    service: str = ""
    pid: Count = 0
    host: str = ""
    version: str = ""
    state: Literal["starting", "running", "waiting", "stopping"] = "starting"
    detail: str = ""  # for a person to read, such as "camera 0 is gone, trying again"
    rate: float = 0.0  # messages or frames a second
    missed: Count = 0  # frames of its streams that never reached it
    dropped: Count = 0  # frames or messages it discarded itself: too old, or malformed
    latency_ms: float = 0.0  # from a frame's ingestion to the end of this service's work on it, median
    min_latency_ms: float = 0.0  # the lowest in the last second: high only where there is a backlog
    cpu_cores: float = 0.0  # CPU cores in use
    cpu_s: float = 0.0  # CPU time so far
    memory_mb: float = 0.0
    ended_streams: tuple[str, ...] = ()  # streams whose end it has processed


AnyHeader = TypeVar("AnyHeader", bound=Header)


def derive_header(header: Header, kind: type[AnyHeader], **values: Any) -> AnyHeader:
    """Make a header of another kind for the same frame of the same stream."""
    return kind(
        stream=header.stream,
        seq=header.seq,
        captured_ns=header.captured_ns,
        ingested_ns=header.ingested_ns,
        start=header.start,
        live=header.live,
        **values,
    )


class Message(NamedTuple):
    """A header and, where its topic has one, its array."""

    header: Header
    array: NDArray[Any] | None = None


def of_kind(inbox: Iterable[Message], kind: type[AnyHeader]) -> Iterator[tuple[AnyHeader, NDArray[Any] | None]]:
    """Select the messages whose header is of this kind, as typed (header, array)."""
    for header, array in inbox:
        if isinstance(header, kind):
            yield header, array
