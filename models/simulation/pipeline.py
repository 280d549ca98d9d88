"""Frames in, what the live pipeline makes of them out: windows, probabilities at every frame, and actions.

The very Windower and Decider that run live, and the steps of services/inference.py around them; a test compares.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from collections.abc import Sequence as Row
from itertools import islice
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.keypoints.landmarks import PARTS
from common.keypoints.window import MIN_PRESENT, TimeWindow, Windower, seen_parts
from common.recognition.classifier import WindowShape
from common.recognition.decision import Decider, Event, Parameters
from common.recording.sequence import KeypointSequence
from models.simulation import streams
from models.simulation.spans import Found, Span
from models.simulation.streams import Piece

CHUNK: Final = 256  # windows in memory at once: 50 MB

Classify = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class Moment(NamedTuple):
    """What is known when a frame has come. probabilities: None, too early for a window; empty, nobody is there."""

    captured_s: float
    middle_s: float  # of the window
    probabilities: dict[str, float] | None


def cut(sequence: KeypointSequence, shape: WindowShape, stride: int) -> Iterator[NDArray[np.float32]]:
    """The windows (length, 1662) of a sequence, as the live windows stage cuts them."""
    windower = Windower(shape.length, shape.fps, stride)
    for captured_ns, vector in zip(sequence.captured_ns.tolist(), sequence.keypoints, strict=True):
        window = windower.push(captured_ns, vector)
        if window is not None and window.filled == shape.length:
            yield window.vectors


def parts_seen(sequences: Iterable[KeypointSequence]) -> list[str]:
    """The parts that any frame has."""
    seen = np.zeros(len(PARTS), bool)
    for sequence in sequences:
        seen |= seen_parts(sequence.keypoints).any(axis=0)
    return [part for part, there in zip(PARTS, seen, strict=True) if there]


def confirms(parts: Collection[str]) -> bool:
    """Whether data of these parts can show that somebody is there as live: docs/decisions/0008.

    Other people's sets of 132 numbers have a pose alone, those of 126 hands alone. There the rule that a pose which
    nothing confirms is nobody would find nobody, so anything seen counts.
    """
    return "pose" in parts and len(parts) > 1


class Watcher:
    """Watches one stream, piece by piece.

    confirmed: as `confirms` says of its source. legs_confirm: as a Windower has it, for models of the whole body.
    """

    def __init__(
        self,
        classify: Classify,
        labels: Row[str],
        shape: WindowShape,
        *,
        stride: int = 1,
        confirmed: bool = True,
        legs_confirm: bool = False,
    ) -> None:
        self._classify, self._labels, self._confirmed = classify, labels, confirmed
        self._windower = Windower(shape.length, shape.fps, stride, legs_confirm=legs_confirm)

    def __call__(self, piece: Piece) -> list[Moment]:
        """A moment for every frame that the stride does not skip."""
        frames, moments = zip(piece.captured_ns.tolist(), piece.keypoints, strict=True), list[Moment]()
        while chunk := list(islice(frames, CHUNK)):
            moments += self._watch(chunk)
        return moments

    def _watch(self, frames: Row[tuple[int, NDArray[np.float32]]]) -> list[Moment]:
        pushed = [(captured_ns, self._windower.push(captured_ns, vector)) for captured_ns, vector in frames]
        windows = [(captured_ns, window) for captured_ns, window in pushed if window is not None]
        shown = [window.vectors for _, window in windows if self._shows_somebody(window)]
        rows = iter(np.clip(self._classify(np.stack(shown)), 0, 1).tolist() if shown else ())
        return [
            Moment(captured_ns / 1e9, (window.start_ns + captured_ns) / 2e9, self._told(window, rows))
            for captured_ns, window in windows
        ]

    def _told(self, window: TimeWindow, rows: Iterator[list[float]]) -> dict[str, float] | None:
        if window.filled < self._windower.length:
            return None
        return dict(zip(self._labels, next(rows), strict=True)) if self._shows_somebody(window) else {}

    def _shows_somebody(self, window: TimeWindow) -> bool:
        if window.filled < self._windower.length:
            return False
        seen = window.person_ratio if self._confirmed else seen_parts(window.vectors).any(axis=-1).mean()
        return bool(seen >= MIN_PRESENT)


def decide(moments: Iterable[Moment], parameters: Parameters, idle: Collection[str]) -> list[Found]:
    """The actions that are reported, in the order of their reports, each by its full label in the last word on it."""
    decider, found = Decider(parameters, frozenset(idle)), dict[int, Found]()
    captured_s = 0.0
    for captured_s, middle_s, probabilities in moments:
        events = decider.flush() if probabilities is None else decider.update(middle_s, probabilities)
        _note(events, captured_s, found)
    _note(decider.flush(), captured_s, found)
    return list(found.values())


def _note(events: Iterable[Event], captured_s: float, found: dict[int, Found]) -> None:
    for event in events:
        if event.end_s is None:
            found[event.id] = Found(Span(event.full_label, event.start_s, captured_s), captured_s)
        else:
            found[event.id] = Found(Span(event.full_label, event.start_s, event.end_s), found[event.id].reported_s)


def watched(
    classify: Classify,
    labels: Row[str],
    idle: Row[str],
    shape: WindowShape,
    sequences: Row[KeypointSequence],
    *,
    whole_body: bool,
    stride: int,
    seed: int,
) -> tuple[list[Span], list[Moment]]:
    """The actions on a stream of the sequences, and what its windows say."""
    confirmed = confirms(parts_seen(sequences))
    watch = Watcher(classify, labels, shape, stride=stride, confirmed=confirmed, legs_confirm=whole_body)
    true, moments = list[Span](), list[Moment]()
    for piece in streams.stream(sequences, idle, seed):
        true += piece.spans
        moments += watch(piece)
    return true, moments
