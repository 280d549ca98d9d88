"""Assign frames to extractors, and put their results back in order.

Live streams keep only the newest frame; a file stream loses none. A stream stays with one extractor while that one
keeps up (affinity), because tracking works best on consecutive frames. Several extractors share a live stream only
after it fell behind, and a file always, round robin. Among streams, the one that was served longest ago comes first.
Pure: no sockets, and time is an argument.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from common.bus.messages import Frame, Header

Payload = TypeVar("Payload")
Result = TypeVar("Result")

SHARE_S = 10.0  # a stream that fell behind is shared for this long, then tried with one extractor again
ROUND_ROBIN_WAIT_S = 0.1  # a file waits this long for the extractor that is next
REQUEST_TIMEOUT_S = 3.0  # an extractor repeats its request every second; without one for longer it is removed
FRAME_TIMEOUT_S = 5.0  # a live frame without a result for longer is lost, and its extractor removed
FILE_TIMEOUT_S = 30.0  # longer for a file, which can wait: a slow machine must not lose a frame
OVERTAKEN_S = 1.0  # a live frame without a result for longer is dropped when a later one is done
MAX_TRIES = 2  # a file's frame on which so many extractors failed is released without a result


@dataclass(frozen=True)
class Assignment(Generic[Payload]):
    """A frame to send to an extractor."""

    extractor: bytes
    header: Frame
    payload: Payload


@dataclass(frozen=True)
class OrderedResult(Generic[Result]):
    """The next result of a stream, in order; `result` is None for a frame given up and for the end of the stream."""

    camera: bytes  # to send the acknowledgement to
    header: Frame
    result: Result | None


@dataclass(eq=False, repr=False)
class _PendingFrame(Generic[Payload, Result]):
    """A frame between arrival and release: unassigned, then with an extractor, then done."""

    header: Frame
    payload: Payload  # until it is done
    since: float
    extractor: bytes | None = None
    tries: int = 0  # extractors that failed on it
    done: bool = False
    result: Result | None = None

    def finish(self, result: Result | None) -> None:
        """Keep the result until it is released, and free the payload."""
        self.done, self.result = True, result
        del self.payload


@dataclass
class Stream(Generic[Payload, Result]):
    """The pending frames of one camera or file, in order."""

    start: int
    camera: bytes
    pending: deque[_PendingFrame[Payload, Result]] = field(default_factory=deque)
    last: Frame | None = None
    affinity: bytes | None = None  # the extractor that tracks this stream
    shared_until: float = 0.0
    assigned_at: float = 0.0
    last_seq_of: dict[bytes, int] = field(default_factory=dict)  # extractor -> the number of its last frame

    def unassigned(self) -> list[_PendingFrame[Payload, Result]]:
        """Return the frames that wait for an extractor."""
        return [frame for frame in self.pending if frame.extractor is None and not frame.done]


class Dispatcher(Generic[Payload, Result]):
    """Pairs the frames of cameras with the requests of extractors.

    Call `submit`, `request`, `prefetch`, `result`, `failed`, `remove_worker` and `tick` as messages arrive and time
    passes, then send what `assignments` and `ordered_results` yield.
    """

    def __init__(self) -> None:
        self.streams: dict[str, Stream[Payload, Result]] = {}
        self.dropped = 0  # frames of live streams, replaced by a newer one before an extractor was free
        self.lost = 0  # frames lost with an extractor that was removed or a camera that started over
        self.given_up = 0  # frames of files on which MAX_TRIES extractors failed; they are released without a result
        self._ended: dict[str, int] = {}  # stream -> the last start that reached its end
        self._idle: dict[bytes, float] = {}  # extractor -> when it first requested the frame it waits for
        self._prefetching: dict[bytes, float] = {}  # extractor -> when it requested a file's frame ahead
        self._last_received: dict[bytes, float] = {}  # extractor -> when its last message arrived

    def submit(self, header: Frame, payload: Payload, camera: bytes, now: float) -> Literal["new", "again", "released"]:
        """Add a camera's frame, or the end of its stream.

        Returns:
            "new", "again" for one that is pending already, or "released" for one that is released already.
        """
        if self._ended.get(header.stream) == header.start:
            return "released"
        stream = self._stream(header, camera)
        stream.camera = camera  # its identity changes when it reconnects
        if stream.last is not None and header.seq <= stream.last.seq:  # resent for want of an acknowledgement
            return "again" if stream.pending and header.seq >= stream.pending[0].header.seq else "released"
        if stream.last is not None and stream.last.end_of_stream:
            return "again"
        stream.last = header
        if header.live and not header.end_of_stream:
            self._drop_unassigned(stream, now)
        stream.pending.append(_PendingFrame(header, payload, now, done=header.end_of_stream))
        return "new"

    def previous_camera(self, header: Frame) -> bytes | None:
        """Return the camera of an earlier, unfinished start of this stream, if there is one."""
        stream = self.streams.get(header.stream)
        return stream.camera if stream is not None and stream.start != header.start else None

    def _stream(self, header: Frame, camera: bytes) -> Stream[Payload, Result]:
        before = self.streams.get(header.stream)
        if before is None or before.start != header.start:
            # A camera that starts over makes a new stream: what is pending of the old one is lost.
            self.lost += sum(not frame.header.end_of_stream for frame in before.pending) if before else 0
            self.streams[header.stream] = Stream(header.start, camera)
        return self.streams[header.stream]

    def _drop_unassigned(self, stream: Stream[Payload, Result], now: float) -> None:
        for frame in stream.unassigned():
            stream.pending.remove(frame)
            self.dropped += 1
            if self._affinity_count(stream.affinity) > 1:
                stream.affinity = None  # its extractor serves other streams too: let one with fewer take it
            elif stream.affinity is not None:  # before the first extractor nothing can fall behind
                stream.shared_until = now + SHARE_S

    def _affinity_count(self, extractor: bytes | None) -> int:
        return sum(stream.affinity == extractor for stream in self.streams.values()) if extractor else 0

    def request(self, extractor: bytes, now: float) -> None:
        """Note that an extractor is free."""
        self._last_received[extractor] = now
        self._prefetching.pop(extractor, None)
        if not self._held(extractor):  # else its repeated request crossed a frame sent to it
            self._idle.setdefault(extractor, now)

    def prefetch(self, extractor: bytes, now: float) -> None:
        """Note that a busy extractor can take a file's frame ahead; one of a live stream would be outdated by then."""
        self._last_received[extractor] = now
        if self._held(extractor) < 2:
            self._prefetching.setdefault(extractor, now)

    def _held(self, extractor: bytes) -> int:
        return sum(
            frame.extractor == extractor and not frame.done
            for stream in self.streams.values()
            for frame in stream.pending
        )

    def result(self, extractor: bytes, header: Header, result: Result, now: float) -> bool:
        """Store an extractor's result; returns False if it does not, or no longer, have that frame."""
        self._last_received[extractor] = now
        found = self._assigned(extractor, header)
        if found is None:
            return False
        _, frame = found
        frame.finish(result)
        return True

    def failed(self, extractor: bytes, header: Header, now: float) -> None:
        """Take a frame back from an extractor whose result is malformed."""
        self._last_received[extractor] = now
        if found := self._assigned(extractor, header):
            self._requeue(*found, count_try=True)

    def _assigned(
        self, extractor: bytes, header: Header
    ) -> tuple[Stream[Payload, Result], _PendingFrame[Payload, Result]] | None:
        """Return the pending frame with this header, if this extractor has it."""
        stream = self.streams.get(header.stream)
        if stream is None or stream.start != header.start:
            return None
        for frame in stream.pending:
            if frame.header.seq == header.seq and frame.extractor == extractor and not frame.done:
                return stream, frame
        return None

    def _requeue(self, stream: Stream[Payload, Result], frame: _PendingFrame[Payload, Result], count_try: bool) -> None:
        """Lose a live frame; let another extractor have a file's frame, or give it up after MAX_TRIES."""
        frame.extractor = None
        frame.tries += count_try
        if frame.header.live:
            stream.pending.remove(frame)
            self.lost += 1
        elif frame.tries >= MAX_TRIES:
            frame.finish(None)
            self.given_up += 1

    def busy_workers(self, now: float, for_s: float) -> set[bytes]:
        """Return the extractors that have had a frame for longer than `for_s` seconds."""
        return {frame.extractor for _, frame in self._in_progress() if frame.extractor and now - frame.since > for_s}

    def _in_progress(self) -> list[tuple[Stream[Payload, Result], _PendingFrame[Payload, Result]]]:
        """Return the frames that are with an extractor, the oldest first."""
        frames = [
            (stream, frame)
            for stream in self.streams.values()
            for frame in stream.pending
            if frame.extractor is not None and not frame.done
        ]
        return sorted(frames, key=lambda pair: pair[1].since)

    def remove_worker(self, extractor: bytes) -> int:
        """Remove a dead extractor; returns how many frames it had. A file's go to another, live ones are lost."""
        self._idle.pop(extractor, None)
        self._prefetching.pop(extractor, None)
        self._last_received.pop(extractor, None)
        for stream in self.streams.values():
            if stream.affinity == extractor:
                stream.affinity = None
        held = [(stream, frame) for stream, frame in self._in_progress() if frame.extractor == extractor]
        for index, (stream, frame) in enumerate(held):
            self._requeue(stream, frame, count_try=not index)  # it worked on the first; the other was prefetched
        return len(held)

    def tick(self, now: float) -> int:
        """Remove extractors that timed out, and drop overtaken frames; returns how many frames were taken back."""
        timed_out = {
            extractor
            for extractor, received in self._last_received.items()
            if now - received > REQUEST_TIMEOUT_S and extractor in self._idle
        }
        late = {
            frame.extractor
            for _, frame in self._in_progress()
            if frame.extractor and now - frame.since > (FRAME_TIMEOUT_S if frame.header.live else FILE_TIMEOUT_S)
        }
        return sum(self.remove_worker(extractor) for extractor in timed_out | late) + self._drop_overtaken(now)

    def _drop_overtaken(self, now: float) -> int:
        """Drop the live frames of extractors that hang, so that later results of the stream are released."""
        overtaken = [
            (stream, frame)
            for stream, frame in self._in_progress()
            if frame.header.live
            and now - frame.since > OVERTAKEN_S
            and any(
                later.done and later.header.seq > frame.header.seq and not later.header.end_of_stream
                for later in stream.pending
            )
        ]
        for stream, frame in overtaken:
            if stream.affinity == frame.extractor:
                stream.affinity = None
            self._requeue(stream, frame, count_try=True)
        return len(overtaken)

    def assignments(self, now: float) -> Iterator[Assignment[Payload]]:
        """Yield frames for free extractors: first come, first served, from the stream that waited longest."""
        while assignment := self._next_assignment(now):
            yield assignment

    def _next_assignment(self, now: float) -> Assignment[Payload] | None:
        idle = sorted(self._idle, key=lambda extractor: (self._affinity_count(extractor), self._idle[extractor]))
        live_waits = any(frame.header.live for stream in self.streams.values() for frame in stream.unassigned()[:1])
        ahead = [] if live_waits else sorted(self._prefetching, key=self._prefetching.__getitem__)
        for extractor in idle + ahead:
            frames = [
                (stream, frame)
                for stream in self.streams.values()
                for frame in stream.unassigned()[:1]
                if self._is_eligible(extractor, stream, now)
            ]
            if frames:
                stream, frame = min(frames, key=lambda pair: (pair[0].assigned_at, pair[1].since))
                return self._assign(extractor, stream, frame, now)
        return None

    def _is_eligible(self, extractor: bytes, stream: Stream[Payload, Result], now: float) -> bool:
        if stream.last is not None and not stream.last.live:
            return now - stream.assigned_at > ROUND_ROBIN_WAIT_S or extractor == self._next_round_robin(stream)
        return extractor in self._idle and (stream.affinity in (None, extractor) or now < stream.shared_until)

    def _next_round_robin(self, stream: Stream[Payload, Result]) -> bytes:
        """Return the extractor for a file's next frame: tracking is steadier where each gets every n-th frame."""
        return min(self._last_received, key=lambda extractor: stream.last_seq_of.get(extractor, -1))

    def _assign(
        self, extractor: bytes, stream: Stream[Payload, Result], frame: _PendingFrame[Payload, Result], now: float
    ) -> Assignment[Payload]:
        stream.affinity = stream.affinity or extractor
        stream.assigned_at, stream.last_seq_of[extractor] = now, frame.header.seq
        frame.extractor, frame.since = extractor, now
        self._idle.pop(extractor, None)
        self._prefetching.pop(extractor, None)
        return Assignment(extractor, frame.header, frame.payload)

    def ordered_results(self) -> Iterator[OrderedResult[Result]]:
        """Yield the results that are next in their streams."""
        for name, stream in list(self.streams.items()):
            while stream.pending and stream.pending[0].done:
                frame = stream.pending.popleft()
                yield OrderedResult(stream.camera, frame.header, frame.result)
                if frame.header.end_of_stream:
                    self._ended[name] = stream.start
                    del self.streams[name]
                    break
