"""Run recordings through the windows, classifier and decision of the live pipeline.

It uses the Windower and ActionDetector of the live services, and repeats the steps of services/inference.py around
them; a test compares both.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.keypoints.landmarks import PARTS
from common.keypoints.window import MIN_PERSON_RATIO, TimeWindow, Windower, parts_detected
from common.recognition.classifier import WindowSpec
from common.recognition.decision import ActionDetector, Event, Parameters
from common.recording.sequence import KeypointSequence
from models.simulation import streams
from models.simulation.spans import Detection, Span
from models.simulation.streams import StreamChunk

BATCH: Final = 256  # windows in memory at once: 50 MB

Classify = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # (n, length, 1662) to probabilities (n, labels)


class FramePrediction(NamedTuple):
    """What is known when a frame has come. probabilities: None if no window is full yet, empty if nobody is there."""

    captured_s: float
    window_center_s: float
    probabilities: dict[str, float] | None


class SimulatedStream(NamedTuple):
    """The actions performed in a stream, and what a model predicts at each of its frames."""

    ground_truth: list[Span]
    predictions: list[FramePrediction]


def live_windows(sequence: KeypointSequence, shape: WindowSpec, stride: int) -> Iterator[NDArray[np.float32]]:
    """Yield the windows (length, 1662) of a sequence, as the live windows stage cuts them."""
    windower = Windower(shape.length, shape.fps, stride)
    for captured_ns, vector in zip(sequence.captured_ns.tolist(), sequence.keypoints, strict=True):
        window = windower.push(captured_ns, vector)
        if window is not None and window.filled == shape.length:
            yield window.vectors


def parts_present(sequences: Iterable[KeypointSequence]) -> list[str]:
    """Return the parts that are present in any frame."""
    present = np.zeros(len(PARTS), bool)
    for sequence in sequences:
        present |= parts_detected(sequence.keypoints).any(axis=0)
    return [part for part, is_present in zip(PARTS, present, strict=True) if is_present]


def can_confirm_person(parts: Collection[str]) -> bool:
    """Whether data of these parts can confirm a person as live does (docs/decisions/0008).

    Public data sets of 132 numbers have a pose only, those of 126 hands only. The live rule, which takes a pose for a
    person only where another part confirms it, would find nobody there; so any part counts.
    """
    return "pose" in parts and len(parts) > 1


class OfflinePipeline:
    """Predicts at the frames of one stream, chunk by chunk.

    confirmed: whether another part must confirm a pose, as `can_confirm_person` says of the source. legs_confirm: as in
    Windower, for models of the whole body.
    """

    def __init__(
        self,
        classify: Classify,
        labels: Sequence[str],
        shape: WindowSpec,
        *,
        stride: int = 1,
        confirmed: bool = True,
        legs_confirm: bool = False,
    ) -> None:
        self._classify, self._labels, self._confirmed = classify, labels, confirmed
        self._windower = Windower(shape.length, shape.fps, stride, legs_confirm=legs_confirm)

    def __call__(self, chunk: StreamChunk) -> list[FramePrediction]:
        """Return a prediction for every frame that the stride does not skip."""
        frames, predictions = zip(chunk.captured_ns.tolist(), chunk.keypoints, strict=True), list[FramePrediction]()
        while batch := list(islice(frames, BATCH)):
            predictions += self._process(batch)
        return predictions

    def _process(self, frames: Sequence[tuple[int, NDArray[np.float32]]]) -> list[FramePrediction]:
        pushed = [(captured_ns, self._windower.push(captured_ns, vector)) for captured_ns, vector in frames]
        windows = [(captured_ns, window) for captured_ns, window in pushed if window is not None]
        with_person = [window.vectors for _, window in windows if self._has_person(window)]
        rows = iter(np.clip(self._classify(np.stack(with_person)), 0, 1).tolist() if with_person else ())
        return [
            FramePrediction(captured_ns / 1e9, (window.start_ns + captured_ns) / 2e9, self._probabilities(window, rows))
            for captured_ns, window in windows
        ]

    def _probabilities(self, window: TimeWindow, rows: Iterator[list[float]]) -> dict[str, float] | None:
        if window.filled < self._windower.length:
            return None
        return dict(zip(self._labels, next(rows), strict=True)) if self._has_person(window) else {}

    def _has_person(self, window: TimeWindow) -> bool:
        if window.filled < self._windower.length:
            return False
        ratio = window.person_ratio if self._confirmed else parts_detected(window.vectors).any(axis=-1).mean()
        return bool(ratio >= MIN_PERSON_RATIO)


def detect_actions(
    predictions: Iterable[FramePrediction], parameters: Parameters, idle: Collection[str]
) -> list[Detection]:
    """Return the actions that are reported, in the order of their reports, each with its final full label."""
    detector, detections = ActionDetector(parameters, frozenset(idle)), dict[int, Detection]()
    captured_s = 0.0
    for captured_s, window_center_s, probabilities in predictions:
        events = detector.flush() if probabilities is None else detector.update(window_center_s, probabilities)
        _record(events, captured_s, detections)
    _record(detector.flush(), captured_s, detections)
    return list(detections.values())


def _record(events: Iterable[Event], captured_s: float, detections: dict[int, Detection]) -> None:
    for event in events:
        if event.end_s is None:
            detections[event.id] = Detection(Span(event.full_label, event.start_s, captured_s), captured_s)
        else:
            span = Span(event.full_label, event.start_s, event.end_s)
            detections[event.id] = Detection(span, detections[event.id].reported_s)


def simulate_stream(
    classify: Classify,
    labels: Sequence[str],
    idle: Sequence[str],
    shape: WindowSpec,
    sequences: Sequence[KeypointSequence],
    *,
    whole_body: bool,
    stride: int,
    seed: int,
) -> SimulatedStream:
    """Join the sequences to one continuous stream, and predict at its frames."""
    confirmed = can_confirm_person(parts_present(sequences))
    pipeline = OfflinePipeline(classify, labels, shape, stride=stride, confirmed=confirmed, legs_confirm=whole_body)
    ground_truth, predictions = list[Span](), list[FramePrediction]()
    for chunk in streams.stream(sequences, idle, seed):
        ground_truth += chunk.spans
        predictions += pipeline(chunk)
    return SimulatedStream(ground_truth, predictions)
