"""Who gets which frame, and results in order again: frames and requests in, gifts and releases out.

Live streams keep only the newest frame; a file stream loses none. A stream stays with one extractor
while that one keeps up, because tracking is best fed with every frame; only a live stream that falls
behind, or a file, is shared among several. Of several streams the one that was served longest ago comes
first. Pure: no sockets, and time is an argument.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, Literal, NamedTuple, TypeVar

from common.bus.messages import Frame, Header

Payload = TypeVar("Payload")
Result = TypeVar("Result")

SHARE_S = 10.0  # a stream that fell behind is shared for this long, then tried with one extractor again
ROUND_ROBIN_WAIT_S = 0.1  # an extractor whose turn it is may keep a file waiting for this long
REQUEST_TIMEOUT_S = 3.0  # an extractor repeats its request every second; one that is silent for longer is gone
FRAME_TIMEOUT_S = 5.0  # an extractor that has a live frame for longer than this has lost it
FILE_TIMEOUT_S = 30.0  # a file can wait: a slow machine must not lose a frame by this
OVERTAKEN_S = 1.0  # a live frame that is out for longer is not waited for when a later one is done
MAX_TRIES = 2  # a file's frame that so many extractors failed on is given up


class Assignment(NamedTuple, Generic[Payload]):
    """A frame to be sent to an extractor."""

    extractor: bytes
    header: Frame
    payload: Payload


class OrderedResult(NamedTuple, Generic[Result]):
    """The next of a stream, in order: a result, none where the frame was given up, or the end of the stream."""

    camera: bytes  # to be told so
    header: Frame
    result: Result | None


@dataclass(eq=False)
class _PendingFrame(Generic[Payload, Result]):
    """One frame on its way: waiting -> with an extractor -> done, then released when it is its turn."""

    header: Frame
    payload: Payload | None
    since: float
    extractor: bytes | None = None
    tries: int = 0  # extractors that failed on it
    done: bool = False
    result: Result | None = None


@dataclass
class Stream(Generic[Payload, Result]):
    """The frames of one camera or file between arrival and release, in order."""

    start: int
    camera: bytes
    pending: deque[_PendingFrame[Payload, Result]] = field(default_factory=deque)
    last: Frame | None = None
    owner: bytes | None = None
    shared_until: float = 0.0
    assigned_at: float = 0.0
    last_seq_of: dict[bytes, int] = field(default_factory=dict)  # extractor -> the number of its last frame

    def unassigned(self) -> list[_PendingFrame[Payload, Result]]:
        return [slot for slot in self.pending if slot.extractor is None and not slot.done]


class Dispatcher(Generic[Payload, Result]):
    """Streams and extractors. Feed it with offer, ask, result, gone and tick; then take match and released."""

    def __init__(self) -> None:
        self.streams: dict[str, Stream[Payload, Result]] = {}
        self.dropped = 0  # frames of live streams, replaced by a newer one before an extractor was free
        self.lost = 0  # frames that went down with an extractor, or with a camera that began again
        self.given_up = 0  # frames of files on which MAX_TRIES extractors failed; they are released without a result
        self._ended: dict[str, int] = {}  # stream -> the start of its last beginning that came to its end
        self._idle: dict[bytes, float] = {}  # extractor -> when it first asked for the frame it waits for
        self._prefetching: dict[
            bytes, float
        ] = {}  # extractor -> when it asked for a file's frame beside the one it has
        self._last_heard: dict[bytes, float] = {}  # extractor -> when it last said anything

    def submit(self, header: Frame, payload: Payload, camera: bytes, now: float) -> Literal["new", "again", "released"]:
        """A camera hands in a frame, or the end of its stream: a new one, one that is here, or that was released."""
        if self._ended.get(header.stream) == header.start:
            return "released"
        stream = self._stream(header, camera)
        stream.camera = camera  # it has another name after it was disconnected
        if stream.last is not None and header.seq <= stream.last.seq:  # sent again by a camera that was not sure
            return "again" if stream.pending and header.seq >= stream.pending[0].header.seq else "released"
        if stream.last is not None and stream.last.end_of_stream:
            return "again"
        stream.last = header
        if header.live and not header.end_of_stream:
            self._make_room(stream, now)
        stream.pending.append(
            _PendingFrame(header, None if header.end_of_stream else payload, now, done=header.end_of_stream)
        )
        return "new"

    def previous_camera(self, header: Frame) -> bytes | None:
        """Who hands in the stream of this name as it began before, if that is not over."""
        stream = self.streams.get(header.stream)
        return stream.camera if stream is not None and stream.start != header.start else None

    def _stream(self, header: Frame, camera: bytes) -> Stream[Payload, Result]:
        before = self.streams.get(header.stream)
        if before is None or before.start != header.start:
            # Of a camera that began again, what was on its way belongs to a stream that is no more.
            self.lost += sum(not slot.header.end_of_stream for slot in before.pending) if before else 0
            self.streams[header.stream] = Stream(header.start, camera)
        return self.streams[header.stream]

    def _make_room(self, stream: Stream[Payload, Result], now: float) -> None:
        for slot in stream.unassigned():
            stream.pending.remove(slot)
            self.dropped += 1
            if self._owned(stream.owner) > 1:
                stream.owner = None  # its extractor has others to look after: let one with fewer take it
            elif stream.owner is not None:  # before the first extractor came nothing fell behind
                stream.shared_until = now + SHARE_S

    def _owned(self, extractor: bytes | None) -> int:
        return sum(stream.owner == extractor for stream in self.streams.values()) if extractor else 0

    def request(self, extractor: bytes, now: float) -> None:
        """An extractor is free."""
        self._last_heard[extractor] = now
        self._prefetching.pop(extractor, None)
        if not self._held(extractor):  # else its repeated request crossed a frame on its way
            self._idle.setdefault(extractor, now)

    def prefetch(self, extractor: bytes, now: float) -> None:
        """An extractor that works on a file's frame would have another ready; of a live stream it would be old."""
        self._last_heard[extractor] = now
        if self._held(extractor) < 2:
            self._prefetching.setdefault(extractor, now)

    def _held(self, extractor: bytes) -> int:
        return sum(
            slot.extractor == extractor and not slot.done for stream in self.streams.values() for slot in stream.pending
        )

    def result(self, extractor: bytes, header: Header, result: Result, now: float) -> bool:
        """An extractor answers; False if that frame was not, or is no longer, with it."""
        self._last_heard[extractor] = now
        found = self._assigned(extractor, header)
        if found is None:
            return False
        _, slot = found
        slot.done, slot.result, slot.payload = True, result, None
        return True

    def failed(self, extractor: bytes, header: Header, now: float) -> None:
        """An extractor's answer cannot be used."""
        self._last_heard[extractor] = now
        if found := self._assigned(extractor, header):
            self._requeue(*found, blamed=True)

    def _assigned(
        self, extractor: bytes, header: Header
    ) -> tuple[Stream[Payload, Result], _PendingFrame[Payload, Result]] | None:
        """The frame that an extractor's answer is about, if it has it."""
        stream = self.streams.get(header.stream)
        for slot in stream.pending if stream and stream.start == header.start else ():
            if slot.header.seq == header.seq and slot.extractor == extractor and not slot.done:
                return stream, slot  # type: ignore[return-value]
        return None

    def _requeue(self, stream: Stream[Payload, Result], slot: _PendingFrame[Payload, Result], blamed: bool) -> None:
        """A live frame is lost, a file's goes to another extractor, or is given up."""
        slot.extractor = None
        slot.tries += blamed
        if slot.header.live:
            stream.pending.remove(slot)
            self.lost += 1
        elif slot.tries >= MAX_TRIES:
            slot.done, slot.payload = True, None
            self.given_up += 1

    def busy_workers(self, now: float, for_s: float) -> set[bytes]:
        """Extractors that have had a frame for longer than for_s."""
        return {slot.extractor for _, slot in self._in_progress() if slot.extractor and now - slot.since > for_s}

    def _in_progress(self) -> list[tuple[Stream[Payload, Result], _PendingFrame[Payload, Result]]]:
        """The frames that are with an extractor, the oldest of each extractor first."""
        out = [
            (stream, slot)
            for stream in self.streams.values()
            for slot in stream.pending
            if slot.extractor is not None and not slot.done
        ]
        return sorted(out, key=lambda pair: pair[1].since)

    def remove_worker(self, extractor: bytes) -> int:
        """An extractor is dead: a file's frame goes to another, a live one is lost. Returns how many."""
        self._idle.pop(extractor, None)
        self._prefetching.pop(extractor, None)
        self._last_heard.pop(extractor, None)
        for stream in self.streams.values():
            if stream.owner == extractor:
                stream.owner = None
        held = [(stream, slot) for stream, slot in self._in_progress() if slot.extractor == extractor]
        for place, (stream, slot) in enumerate(held):
            self._requeue(stream, slot, blamed=not place)  # it worked on the first, the other was given ahead
        return len(held)

    def tick(self, now: float) -> int:
        """Give up on extractors that have been silent for too long; returns how many frames they had."""
        silent = {
            extractor
            for extractor, heard in self._last_heard.items()
            if now - heard > REQUEST_TIMEOUT_S and extractor in self._idle
        }
        late = {
            slot.extractor
            for _, slot in self._in_progress()
            if slot.extractor and now - slot.since > (FRAME_TIMEOUT_S if slot.header.live else FILE_TIMEOUT_S)
        }
        return sum(self.remove_worker(extractor) for extractor in silent | late) + self._drop_overtaken(now)

    def _drop_overtaken(self, now: float) -> int:
        """One extractor that hangs must not hold up what others have found in a live stream."""
        overtaken = [
            (stream, slot)
            for stream, slot in self._in_progress()
            if slot.header.live
            and now - slot.since > OVERTAKEN_S
            and any(
                later.done and later.header.seq > slot.header.seq and not later.header.end_of_stream
                for later in stream.pending
            )
        ]
        for stream, slot in overtaken:
            if stream.owner == slot.extractor:
                stream.owner = None
            self._requeue(stream, slot, blamed=True)
        return len(overtaken)

    def assignments(self, now: float) -> Iterator[Assignment[Payload]]:
        """Frames for free extractors: those that asked first, the stream that waited longest."""
        while gift := self._next_assignment(now):
            yield gift

    def _next_assignment(self, now: float) -> Assignment[Payload] | None:
        idle = sorted(self._idle, key=lambda e: (self._owned(e), self._idle[e]))
        live_waits = any(slot.header.live for stream in self.streams.values() for slot in stream.unassigned()[:1])
        ahead = [] if live_waits else sorted(self._prefetching, key=self._prefetching.__getitem__)
        for extractor in idle + ahead:
            slots = [
                (stream, slot)
                for stream in self.streams.values()
                for slot in stream.unassigned()[:1]
                if self._is_eligible(extractor, stream, now)
            ]
            if slots:
                stream, slot = min(slots, key=lambda pair: (pair[0].assigned_at, pair[1].since))
                return self._assign(extractor, stream, slot, now)
        return None

    def _is_eligible(self, extractor: bytes, stream: Stream[Payload, Result], now: float) -> bool:
        if stream.last is not None and not stream.last.live:
            return now - stream.assigned_at > ROUND_ROBIN_WAIT_S or extractor == self._next_in_turn(stream)
        return extractor in self._idle and (stream.owner in (None, extractor) or now < stream.shared_until)

    def _next_in_turn(self, stream: Stream[Payload, Result]) -> bytes:
        """Whose turn a file's next frame is: tracking is steadier where every extractor gets every n-th frame."""
        return min(self._last_heard, key=lambda extractor: stream.last_seq_of.get(extractor, -1))

    def _assign(
        self, extractor: bytes, stream: Stream[Payload, Result], slot: _PendingFrame[Payload, Result], now: float
    ) -> Assignment[Payload]:
        stream.owner = stream.owner or extractor
        stream.assigned_at, stream.last_seq_of[extractor] = now, slot.header.seq
        slot.extractor, slot.since = extractor, now
        self._idle.pop(extractor, None)
        self._prefetching.pop(extractor, None)
        assert slot.payload is not None
        return Assignment(extractor, slot.header, slot.payload)

    def ordered_results(self) -> Iterator[OrderedResult[Result]]:
        """All results whose turn it is, each stream in order."""
        for name, stream in list(self.streams.items()):
            while stream.pending and stream.pending[0].done:
                slot = stream.pending.popleft()
                yield OrderedResult(stream.camera, slot.header, slot.result)
                if slot.header.end_of_stream:
                    self._ended[name] = stream.start
                    del self.streams[name]
                    break
