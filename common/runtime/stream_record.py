"""Count the predictions of a stream, and find the frames without one."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from common.bus.messages import Action, Header, Prediction

TOO_EARLY, NOBODY = "too early for a window", "nobody in view"


@dataclass
class StreamRecord:
    """One stream from its start to its end; a live one over all starts of its camera."""

    gapless: bool = True  # every frame of a file should have a line
    start: int | None = None  # None: no message since this process started
    live: bool = True
    counts: Counter[str] = field(default_factory=Counter)
    missing: list[tuple[int, int]] = field(default_factory=list)  # first and last of frames that should have a line
    frames: int | None = None  # known from its end
    first: int | None = None  # the first frame since `start` that has a line
    lines: int = 0  # since `start`
    last: int = -1  # the newest frame with a line
    resumed: bool = False  # earlier lines were read from the disk, and lines may be missing after them
    _stride: int = 1
    _starts: set[int] = field(default_factory=set)
    _ended: set[type[Header]] = field(default_factory=set)

    def is_new_start(self, header: Header) -> bool:
        """Return whether this is of a start that is new.

        Actions have a queue of their own: one may be late, from before a start that is known from predictions.
        """
        is_late = (
            isinstance(header, Action) and not header.live and self.start is not None and header.start < self.start
        )
        return header.start not in self._starts and not is_late

    def is_outdated(self, header: Header) -> bool:
        """Return whether this is of an earlier start of a file, and so to be ignored."""
        return not header.live and header.start != self.start

    def reset(self) -> None:
        """Discard all counts, for a file that starts over."""
        self.counts.clear()
        self.missing.clear()
        self.resumed = False

    def begin(self, header: Header) -> None:
        """Begin the stream, or continue a live one, with this start."""
        self.resumed = self.resumed and header.seq > self.last
        self.start, self.live, self.frames = header.start, header.live, None
        self._starts.add(header.start)
        self._ended.clear()
        if not self.resumed:
            self.first, self.lines, self.last = None, 0, -1

    def read(self, seq: int, label: str | None, note: str) -> None:
        """Count a line that an earlier process has written."""
        self._count(label, note)
        self.first = seq if self.first is None else self.first
        self.last, self.lines, self.resumed = seq, self.lines + 1, True

    def add(self, header: Prediction, note: str) -> bool:
        """Count a prediction; returns False for one that was counted before."""
        if self.first is not None and header.seq <= self.last:
            return False
        must_follow = self.gapless and (not header.live or self.resumed)
        if must_follow and header.seq - self.last > max(self._stride, header.stride):
            self.missing.append((self.last + 1, header.seq - 1))
        self.resumed = False
        self.first = header.seq if self.first is None else self.first
        self.last, self._stride, self.lines = header.seq, header.stride, self.lines + 1
        self._count(header.label, note)
        self.counts["with a person"] += header.person_ratio > 0
        return True

    def _count(self, label: str | None, note: str) -> None:
        self.counts["frames"] += 1
        self.counts["predicted" if label else note] += 1

    def end(self, header: Header) -> bool:
        """Note the end of the stream on one of two topics, predictions and actions; returns True at the second."""
        self._ended.add(type(header))
        if self.frames is not None or self._ended != {Prediction, Action}:
            return False
        self.frames = header.seq
        if self.gapless and not self.live and self.frames - 1 - self.last >= self._stride:
            self.missing.append((self.last + 1, self.frames - 1))
        return True

    @property
    def before(self) -> int:
        """The number of frames of a live stream before the first prediction."""
        return self.first if self.first is not None else self.frames or 0

    @property
    def skipped(self) -> int:
        """The number of frames of a live stream that were skipped in favour of the newest."""
        processed = self.lines * self._stride
        return max(0, (self.frames or 0) - self.before - processed) if self.live else 0

    @property
    def lost(self) -> int:
        """The number of frames that should have a prediction and have none."""
        return sum(last - first + 1 for first, last in self.missing)

    def summary(self) -> dict[str, Any]:
        """Return the counts of the stream for run.json."""
        before = self.before if self.live else 0
        more = {"before the first prediction": before, "not looked at": self.skipped, "missing": self.missing}
        return {**self.counts, **{name: value for name, value in more.items() if value}}
