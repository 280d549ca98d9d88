"""Detect when actions start and end in the probabilities of a stream.

Smoothing -> hysteresis -> minimum duration -> refractory time. Parameters are in seconds, not frames, so that the
decisions do not depend on the frame rate. The idle label, no person or a low best probability mean "nothing", never the
most likely label. If a model has an idle label, a window whose best action is likelier than all other actions together
votes for it with the probability of all actions: an action is no less under way because similar ones compete with it
(docs/decisions/0013). Of labels with two levels, such as "push up/right" and "push up/wrong", the first level is
detected, with the sum of their probabilities, so that no action is split while its verdict, the second level, changes.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

import msgspec

from common.config import Decision
from common.errors import UserError
from common.labels import split_label


class Parameters(msgspec.Struct, kw_only=True, frozen=True):
    """Thresholds and durations of the detector; a model's card holds those fitted to it."""

    smoothing_s: float = 0.2  # time constant of the exponential moving average; 0: none
    start_threshold: float = 0.7  # an action may start when its smoothed votes reach this
    end_threshold: float = 0.4  # and ends when they fall below this
    min_duration_s: float = 0.3  # it must last this long before it is reported
    refractory_s: float = 0.5  # after its end, before the same label may start again


def merge_parameters(card: Parameters, settings: Decision) -> Parameters:
    """Return the card's parameters, overridden by the settings; raises UserError if they contradict each other."""
    chosen = {key: value for key, value in msgspec.structs.asdict(settings).items() if value is not None}
    merged = msgspec.structs.replace(card, **chosen)
    if merged.end_threshold > merged.start_threshold:
        raise UserError(
            f"decision.end_threshold is {merged.end_threshold}: it must not be above "
            f"decision.start_threshold, {merged.start_threshold}."
        )
    return merged


class Event(NamedTuple):
    """The start or end of an action; times in seconds on the source's clock."""

    event: Literal["started", "ended"]
    id: int
    label: str  # the first level
    start_s: float
    end_s: float | None
    confidence: float  # the highest smoothed probability so far, of all its verdicts together
    verdict: str | None = None  # the one with the highest mean so far; that of `ended` is final

    @property
    def full_label(self) -> str:
        """The label as in the card: the inverse of `split_label`."""
        return self.label if self.verdict is None else f"{self.label}/{self.verdict}"


_Action = tuple[str, bool]  # the first level of labels, and whether these are idle labels


@dataclass
class _Candidate:
    action: _Action
    id: int
    start_s: float
    evidence: dict[str, float]  # by label, summed over its windows
    confidence: float = 0.0
    last_s: float = 0.0
    reported: bool = False

    def event(self, event: Literal["started", "ended"], end_s: float | None = None) -> Event:
        verdict = split_label(max(self.evidence, key=self.evidence.__getitem__)).verdict
        return Event(event, self.id, self.action[0], self.start_s, end_s, self.confidence, verdict)


class ActionDetector:
    """Detects the actions of one stream. Times must rise; after a jump the caller must call `flush`."""

    def __init__(self, parameters: Parameters, idle: frozenset[str] = frozenset(), first_id: int = 1) -> None:
        self._parameters, self._idle = parameters, idle
        self.next_id = first_id
        self.smoothed: dict[str, float] = {}  # by label
        self._votes: dict[_Action, float] = {}  # smoothed too
        self._time_s: float | None = None
        self._current: _Candidate | None = None
        self._ended_s: dict[str, float] = {}

    def update(self, time_s: float, probabilities: Mapping[str, float]) -> Iterator[Event]:
        """Add the probabilities at time_s (empty without a person); yields the events that follow."""
        weight = self._weight(time_s)
        self.smoothed = _mean(self.smoothed, probabilities, weight)
        self._votes = _mean(self._votes, self._vote(probabilities), weight)
        best = max(self._votes, key=self._votes.__getitem__, default=("", True))
        yield from self._end_if_below(time_s, best)
        self._start_candidate(time_s, best)
        yield from self._report(time_s)

    def flush(self) -> Iterator[Event]:
        """End the current action and reset, at the end of the stream or a gap in it."""
        yield from self._end()
        self.smoothed, self._votes, self._time_s, self._ended_s = {}, {}, None, {}

    def _weight(self, time_s: float) -> float:
        """Return the weight of the probabilities at time_s in the moving average."""
        tau, before, self._time_s = self._parameters.smoothing_s, self._time_s, time_s
        return 1.0 if before is None or tau <= 0 else 1 - math.exp(-max(0.0, time_s - before) / tau)

    def _action_of(self, label: str) -> _Action:
        return label.partition("/")[0], label in self._idle

    def _vote(self, probabilities: Mapping[str, float]) -> dict[_Action, float]:
        """Return the votes of one window for each action."""
        votes: dict[_Action, float] = {}
        for label, probability in probabilities.items():
            action = self._action_of(label)
            votes[action] = votes.get(action, 0.0) + probability
        actions = {action: vote for action, vote in votes.items() if not action[1]}
        best, acting = max(actions, key=actions.__getitem__, default=None), sum(actions.values())
        if best and len(actions) < len(votes) and 2 * actions[best] > acting:
            votes |= dict.fromkeys(actions, 0.0) | {best: acting}
        return votes

    def _reaches_start(self, action: _Action) -> bool:
        name, idle = action
        return name != "" and not idle and self._votes[action] >= self._parameters.start_threshold

    def _end_if_below(self, time_s: float, best: _Action) -> Iterator[Event]:
        current = self._current
        if current is None:
            return
        overtaken = best != current.action and self._reaches_start(best)
        if self._votes.get(current.action, -1.0) < self._parameters.end_threshold or overtaken:
            yield from self._end(time_s)

    def _start_candidate(self, time_s: float, best: _Action) -> None:
        if self._current is not None or not self._reaches_start(best):
            return
        if time_s - self._ended_s.get(best[0], -math.inf) < self._parameters.refractory_s:
            return
        evidence = {label: 0.0 for label in self.smoothed if self._action_of(label) == best}
        self._current = _Candidate(best, self.next_id, time_s, evidence)

    def _report(self, time_s: float) -> Iterator[Event]:
        current = self._current
        if current is None:
            return
        current.last_s = time_s
        for label in current.evidence:
            current.evidence[label] += self.smoothed.get(label, 0.0)
        now = sum(self.smoothed.get(label, 0.0) for label in current.evidence)  # above 1 if labels are not exclusive
        current.confidence = max(current.confidence, min(1.0, now))
        if not current.reported and time_s - current.start_s >= self._parameters.min_duration_s:
            current.reported = True
            self.next_id += 1
            yield current.event("started")

    def _end(self, time_s: float | None = None) -> Iterator[Event]:
        current, self._current = self._current, None
        if current is not None and current.reported:
            end_s = current.last_s if time_s is None else time_s
            self._ended_s[current.action[0]] = end_s
            yield current.event("ended", end_s)


_Key = TypeVar("_Key", str, _Action)


def _mean(before: Mapping[_Key, float], now: Mapping[_Key, float], weight: float) -> dict[_Key, float]:
    """Return the weighted mean of two moments; `weight` is that of the later one."""
    if not before or weight == 1:
        return dict(now)
    return {key: (1 - weight) * before.get(key, 0.0) + weight * now.get(key, 0.0) for key in {**before, **now}}
