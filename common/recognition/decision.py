"""One stream's probabilities in, actions that start and end out.

Smoothing -> hysteresis -> minimum duration -> refractory time. Parameters are seconds, not frames, so that a
slower camera decides alike. The idle label, an absent person or a low best probability are "nothing", never
the least bad label. Where a model knows an idle label, a window whose best action is likelier than all others together
is for it with all that speaks against idleness: an action is no less under way because two like it compete
(docs/decisions/0013). Of labels with two levels, as "push up/right" and "push up/wrong", the first is decided on, with
the sum of their probabilities, so that no action is torn apart while its verdict, the second, wavers.
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
    """How sure and how long; a model's card carries the ones that fit it."""

    smoothing_s: float = 0.2  # time constant of the exponential mean; 0: none
    start_threshold: float = 0.7  # an action may start where its votes, smoothed, reach this
    end_threshold: float = 0.4  # and ends below this one
    min_duration_s: float = 0.3  # it must last this long before it is reported
    refractory_s: float = 0.5  # after its end, before the same label may start again


def merge_parameters(card: Parameters, settings: Decision) -> Parameters:
    """The card's, with what the settings say instead; raises UserError if they contradict each other."""
    chosen = {key: value for key, value in msgspec.structs.asdict(settings).items() if value is not None}
    merged = msgspec.structs.replace(card, **chosen)
    if merged.end_threshold > merged.start_threshold:
        raise UserError(
            f"decision.end_threshold is {merged.end_threshold}: it must not be above "
            f"decision.start_threshold, {merged.start_threshold}."
        )
    return merged


class Event(NamedTuple):
    """An action began or was over; times in seconds on the source's clock."""

    event: Literal["started", "ended"]
    id: int
    label: str  # its first level
    start_s: float
    end_s: float | None
    confidence: float  # the highest smoothed probability so far, of all its verdicts together
    verdict: str | None = None  # the one with the highest mean so far; what `ended` says is the last word

    @property
    def full_label(self) -> str:
        """As the card has it: the inverse of `split_label`."""
        return self.label if self.verdict is None else f"{self.label}/{self.verdict}"


_Action = tuple[str, bool]  # the first level of some labels, and whether they are idle, which stand apart


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
    """Decides for one stream. Times must rise; a jump is for the caller to answer with `flush`."""

    def __init__(self, parameters: Parameters, idle: frozenset[str] = frozenset(), first_id: int = 1) -> None:
        self._parameters, self._idle = parameters, idle
        self.next_id = first_id
        self.smoothed: dict[str, float] = {}  # by label
        self._votes: dict[_Action, float] = {}  # smoothed as well
        self._time_s: float | None = None
        self._current: _Candidate | None = None
        self._ended_s: dict[str, float] = {}

    def update(self, time_s: float, probabilities: Mapping[str, float]) -> Iterator[Event]:
        """Take the probabilities that hold at time_s (empty: nobody is there); yields what follows."""
        weight = self._weight(time_s)
        self.smoothed = _mean(self.smoothed, probabilities, weight)
        self._votes = _mean(self._votes, self._vote(probabilities), weight)
        best = max(self._votes, key=self._votes.__getitem__, default=("", True))
        yield from self._end_if_below(time_s, best)
        self._start_candidate(time_s, best)
        yield from self._report(time_s)

    def flush(self) -> Iterator[Event]:
        """The stream is over or broken: end what is under way and forget the past."""
        yield from self._end()
        self.smoothed, self._votes, self._time_s, self._ended_s = {}, {}, None, {}

    def _weight(self, time_s: float) -> float:
        """Of what holds at time_s, against all before."""
        tau, before, self._time_s = self._parameters.smoothing_s, self._time_s, time_s
        return 1.0 if before is None or tau <= 0 else 1 - math.exp(-max(0.0, time_s - before) / tau)

    def _action_of(self, label: str) -> _Action:
        return label.partition("/")[0], label in self._idle

    def _vote(self, probabilities: Mapping[str, float]) -> dict[_Action, float]:
        """What one window says for each rival."""
        votes: dict[_Action, float] = {}
        for label, probability in probabilities.items():
            rival = self._action_of(label)
            votes[rival] = votes.get(rival, 0.0) + probability
        actions = {rival: vote for rival, vote in votes.items() if not rival[1]}
        best, acting = max(actions, key=actions.__getitem__, default=None), sum(actions.values())
        if best and len(actions) < len(votes) and 2 * actions[best] > acting:
            votes |= dict.fromkeys(actions, 0.0) | {best: acting}
        return votes

    def _reaches_start(self, rival: _Action) -> bool:
        action, idle = rival
        return action != "" and not idle and self._votes[rival] >= self._parameters.start_threshold

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
        now = sum(self.smoothed.get(label, 0.0) for label in current.evidence)
        current.confidence = max(current.confidence, min(1.0, now))  # labels of some models do not exclude each other
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
    """Of two moments, where the later one has this weight."""
    if not before or weight == 1:
        return dict(now)
    return {key: (1 - weight) * before.get(key, 0.0) + weight * now.get(key, 0.0) for key in {**before, **now}}
