"""Who gets which frame, and results in order again: frames and requests in, gifts and releases out.

Live streams keep only the newest frame; a file stream loses none. A stream stays with one extractor
while that one keeps up, because tracking is best fed with every frame; only a live stream that falls
behind, or a file, is shared among several. Pure: no sockets, and time is an argument.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from common.messages import Frame

Payload = TypeVar("Payload")
Result = TypeVar("Result")

SHARE_S = 10.0  # a stream that fell behind is shared for this long, then tried with one extractor again
TURN_S = 0.1  # an extractor whose turn it is may keep a file waiting for this long
IDLE_S = 3.0  # an extractor repeats its request every second; one that is silent for longer is gone
FRAME_TIMEOUT_S = 5.0  # an extractor that has a frame for longer than this has lost it


class Gift(NamedTuple, Generic[Payload]):
    """A frame to be sent to an extractor, and the camera to be told so."""

    extractor: bytes
    camera: bytes
    header: Frame
    payload: Payload


class Release(NamedTuple, Generic[Result]):
    """The next of a stream, in order: a result, or its end (result None)."""

    header: Frame
    result: Result | None


@dataclass(eq=False)
class _Slot(Generic[Payload, Result]):
    """One frame on its way: waiting -> with an extractor -> done, then released when it is its turn."""

    header: Frame
    payload: Payload | None
    camera: bytes
    since: float
    extractor: bytes | None = None
    done: bool = False
    result: Result | None = None


@dataclass
class Stream(Generic[Payload, Result]):
    """The frames of one camera or file between arrival and release, in order."""

    slots: deque[_Slot[Payload, Result]] = field(default_factory=deque)
    last: Frame | None = None
    owner: bytes | None = None
    shared_until: float = 0.0
    given_at: float = 0.0
    turns: dict[bytes, int] = field(default_factory=dict)  # extractor -> the number of its last frame

    def waiting(self) -> list[_Slot[Payload, Result]]:
        return [slot for slot in self.slots if slot.extractor is None and not slot.done]


class Dispatcher(Generic[Payload, Result]):
    """Streams and extractors. Feed it with offer, ask, result, gone and tick; then take match and released."""

    def __init__(self) -> None:
        self.streams: dict[str, Stream[Payload, Result]] = {}
        self.dropped = 0  # frames of live streams, replaced by a newer one before an extractor was free
        self.lost = 0  # frames that went down with an extractor, or with a camera that began again
        self._idle: dict[bytes, float] = {}  # extractor -> when it first asked for the frame it waits for
        self._ahead: dict[bytes, float] = {}  # extractor -> when it asked for a file's frame beside the one it has
        self._heard: dict[bytes, float] = {}  # extractor -> when it last said anything

    def offer(self, header: Frame, payload: Payload, camera: bytes, now: float) -> None:
        """A camera hands in a frame, or the end of its stream. One that is already here is ignored."""
        stream = self.streams.setdefault(header.stream, Stream())
        if stream.last is not None and header.seq <= stream.last.seq:
            if header.entered_ns <= stream.last.entered_ns:
                return  # sent again by a camera that was not sure
            self._restart(stream)
        stream.last = header
        if header.end:
            stream.slots.append(_Slot(header, None, camera, now, done=True))
            return
        if header.live:
            self._make_room(stream, now)
        stream.slots.append(_Slot(header, payload, camera, now))

    def _restart(self, stream: Stream[Payload, Result]) -> None:
        """The camera started again: what was on its way belongs to a stream that is no more."""
        self.lost += sum(not slot.header.end for slot in stream.slots)
        stream.slots.clear()
        stream.turns.clear()

    def _make_room(self, stream: Stream[Payload, Result], now: float) -> None:
        for slot in stream.waiting():
            stream.slots.remove(slot)
            self.dropped += 1
            if self._owned(stream.owner) > 1:
                stream.owner = None  # its extractor has others to look after: let one with fewer take it
            elif stream.owner is not None:  # before the first extractor came nothing fell behind
                stream.shared_until = now + SHARE_S

    def _owned(self, extractor: bytes | None) -> int:
        return sum(stream.owner == extractor for stream in self.streams.values()) if extractor else 0

    def ask(self, extractor: bytes, now: float) -> None:
        """An extractor is free."""
        self._heard[extractor] = now
        self._ahead.pop(extractor, None)
        if not self._held(extractor):  # else its repeated request crossed a frame on its way
            self._idle.setdefault(extractor, now)

    def ask_ahead(self, extractor: bytes, now: float) -> None:
        """An extractor that works on a file's frame would have another ready; of a live stream it would be old."""
        self._heard[extractor] = now
        if self._held(extractor) < 2:
            self._ahead.setdefault(extractor, now)

    def _held(self, extractor: bytes) -> int:
        return sum(
            slot.extractor == extractor and not slot.done for stream in self.streams.values() for slot in stream.slots
        )

    def result(self, extractor: bytes, stream_name: str, seq: int, result: Result, now: float) -> bool:
        """An extractor answers; False if that frame was not, or is no longer, with it."""
        self._heard[extractor] = now
        stream = self.streams.get(stream_name)
        for slot in stream.slots if stream else ():
            if slot.header.seq == seq and slot.extractor == extractor and not slot.done:
                slot.done, slot.result, slot.payload = True, result, None
                return True
        return False

    def busy(self, now: float, for_s: float) -> set[bytes]:
        """Extractors that have had a frame for longer than for_s."""
        return {
            slot.extractor
            for stream in self.streams.values()
            for slot in stream.slots
            if slot.extractor and not slot.done and now - slot.since > for_s
        }

    def gone(self, extractor: bytes) -> int:
        """An extractor is dead: a file's frame goes to another, a live one is lost. Returns how many."""
        self._idle.pop(extractor, None)
        self._ahead.pop(extractor, None)
        self._heard.pop(extractor, None)
        affected = 0
        for stream in self.streams.values():
            if stream.owner == extractor:
                stream.owner = None
            for slot in [s for s in stream.slots if s.extractor == extractor and not s.done]:
                affected += 1
                if slot.header.live:
                    stream.slots.remove(slot)
                    self.lost += 1
                else:
                    slot.extractor = None
        return affected

    def tick(self, now: float) -> int:
        """Give up on extractors that have been silent for too long; returns how many frames they had."""
        silent = {
            extractor for extractor, heard in self._heard.items() if now - heard > IDLE_S and extractor in self._idle
        }
        return sum(self.gone(extractor) for extractor in silent | self.busy(now, FRAME_TIMEOUT_S))

    def match(self, now: float) -> Iterator[Gift[Payload]]:
        """Frames for free extractors: those that asked first, the stream that waited longest."""
        while gift := self._next_gift(now):
            yield gift

    def _next_gift(self, now: float) -> Gift[Payload] | None:
        idle = sorted(self._idle, key=lambda e: (self._owned(e), self._idle[e]))
        for extractor in idle + sorted(self._ahead, key=self._ahead.__getitem__):
            slots = [
                (stream, slot)
                for stream in self.streams.values()
                for slot in stream.waiting()[:1]
                if self._may_take(extractor, stream, now)
            ]
            if slots:
                stream, slot = min(slots, key=lambda pair: pair[1].since)
                return self._gift(extractor, stream, slot, now)
        return None

    def _may_take(self, extractor: bytes, stream: Stream[Payload, Result], now: float) -> bool:
        if stream.last is not None and not stream.last.live:
            return now - stream.given_at > TURN_S or extractor == self._turn(stream)
        return extractor in self._idle and (stream.owner in (None, extractor) or now < stream.shared_until)

    def _turn(self, stream: Stream[Payload, Result]) -> bytes:
        """Whose turn a file's next frame is: tracking is steadier where every extractor gets every n-th frame."""
        return min(self._heard, key=lambda extractor: stream.turns.get(extractor, -1))

    def _gift(
        self, extractor: bytes, stream: Stream[Payload, Result], slot: _Slot[Payload, Result], now: float
    ) -> Gift[Payload]:
        stream.owner = stream.owner or extractor
        stream.given_at, stream.turns[extractor] = now, slot.header.seq
        slot.extractor, slot.since = extractor, now
        self._idle.pop(extractor, None)
        self._ahead.pop(extractor, None)
        assert slot.payload is not None
        return Gift(extractor, slot.camera, slot.header, slot.payload)

    def released(self) -> Iterator[Release[Result]]:
        """All results whose turn it is, each stream in order."""
        for name, stream in list(self.streams.items()):
            while stream.slots and stream.slots[0].done:
                slot = stream.slots.popleft()
                yield Release(slot.header, slot.result)
                if slot.header.end:
                    del self.streams[name]
                    break
