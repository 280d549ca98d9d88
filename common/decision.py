"""One stream's probabilities in, actions that start and end out.

Smoothing -> hysteresis -> minimum duration -> refractory time. Parameters are seconds, not frames, so that a
slower camera decides alike. The idle label, an absent person or a low best probability are "nothing", never
the least bad label.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

from common.config import Decision
from common.errors import UserError


class Parameters(msgspec.Struct, kw_only=True, frozen=True):
    """How sure and how long; a model's card carries the ones that fit it."""

    smoothing_s: float = 0.2  # time constant of the exponential mean; 0: none
    enter: float = 0.7  # an action may start at this smoothed probability
    leave: float = 0.4  # and ends below this one
    min_duration_s: float = 0.3  # it must last this long before it is reported
    refractory_s: float = 0.5  # after its end, before the same label may start again


def parameters(card: Parameters, settings: Decision) -> Parameters:
    """The card's, with what the settings say instead; raises UserError if they contradict each other."""
    chosen = {key: value for key, value in msgspec.structs.asdict(settings).items() if value is not None}
    merged = msgspec.structs.replace(card, **chosen)
    if merged.leave > merged.enter:
        raise UserError(f"decision.leave is {merged.leave}: it must not be above decision.enter, {merged.enter}.")
    return merged


class Event(NamedTuple):
    """An action began or was over; times in seconds on the source's clock."""

    event: Literal["started", "ended"]
    id: int
    label: str
    start_s: float
    end_s: float | None
    confidence: float  # the highest smoothed probability so far


@dataclass
class _Candidate:
    label: str
    id: int
    start_s: float
    last_s: float
    confidence: float
    reported: bool = False


class Decider:
    """Decides for one stream. Times must rise; a jump is for the caller to answer with `flush`."""

    def __init__(self, parameters: Parameters, idle: frozenset[str] = frozenset(), first_id: int = 1) -> None:
        self._parameters, self._idle = parameters, idle
        self.next_id = first_id
        self.smoothed: dict[str, float] = {}
        self._time_s: float | None = None
        self._current: _Candidate | None = None
        self._ended_s: dict[str, float] = {}

    def update(self, time_s: float, probabilities: Mapping[str, float]) -> Iterator[Event]:
        """Take the probabilities that hold at time_s (empty: nobody is there); yields what follows."""
        self._smooth(time_s, probabilities)
        best = max(self.smoothed, key=self.smoothed.__getitem__, default="")
        yield from self._leave(time_s, best)
        self._enter(time_s, best)
        yield from self._report(time_s)

    def flush(self) -> Iterator[Event]:
        """The stream is over or broken: end what is under way and forget the past."""
        yield from self._end()
        self.smoothed, self._time_s, self._ended_s = {}, None, {}

    def _smooth(self, time_s: float, probabilities: Mapping[str, float]) -> None:
        tau, before = self._parameters.smoothing_s, self._time_s
        self._time_s = time_s
        if not self.smoothed or before is None or tau <= 0:
            self.smoothed = dict(probabilities)
            return
        weight = 1 - math.exp(-max(0.0, time_s - before) / tau)
        labels = {**self.smoothed, **probabilities}
        self.smoothed = {
            label: (1 - weight) * self.smoothed.get(label, 0.0) + weight * probabilities.get(label, 0.0)
            for label in labels
        }

    def _enters(self, label: str) -> bool:
        return label != "" and label not in self._idle and self.smoothed[label] >= self._parameters.enter

    def _leave(self, time_s: float, best: str) -> Iterator[Event]:
        current = self._current
        if current is None:
            return
        overtaken = best != current.label and self._enters(best)
        if self.smoothed.get(current.label, -1.0) < self._parameters.leave or overtaken:
            yield from self._end(time_s)

    def _enter(self, time_s: float, best: str) -> None:
        if self._current is not None or not self._enters(best):
            return
        if time_s - self._ended_s.get(best, -math.inf) < self._parameters.refractory_s:
            return
        self._current = _Candidate(best, self.next_id, time_s, time_s, self.smoothed[best])

    def _report(self, time_s: float) -> Iterator[Event]:
        current = self._current
        if current is None:
            return
        current.last_s = time_s
        current.confidence = max(current.confidence, self.smoothed[current.label])
        if not current.reported and time_s - current.start_s >= self._parameters.min_duration_s:
            current.reported = True
            self.next_id += 1
            yield Event("started", current.id, current.label, current.start_s, None, current.confidence)

    def _end(self, time_s: float | None = None) -> Iterator[Event]:
        current, self._current = self._current, None
        if current is not None and current.reported:
            end_s = current.last_s if time_s is None else time_s
            self._ended_s[current.label] = end_s
            yield Event("ended", current.id, current.label, current.start_s, end_s, current.confidence)
