"""Score detected actions against the ground truth of a stream: segmental F1, edit score, false positives, latency."""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.simulation.spans import Detection, Span

IOU_THRESHOLDS: Final = (0.1, 0.25, 0.5)  # as in papers on segmentation since Lea et al. 2017


class Latency(msgspec.Struct, kw_only=True, frozen=True):
    """Percentiles, in seconds, over all detected actions."""

    p50: float
    p95: float


class EventScores(msgspec.Struct, kw_only=True, frozen=True):
    """Scores of one stream."""

    minutes: float
    actions: int  # performed
    detected: int  # of these, at the least of IOU_THRESHOLDS
    f1: dict[str, float]  # segmental F1 by IoU threshold
    edit_score: float  # 1: the right labels in the right order
    false_positives_per_minute: float  # detections without a match at the least of IOU_THRESHOLDS
    start_latency: Latency | None  # None: nothing was detected
    end_latency: Latency | None  # negative: reported before the action ended


def score_events(detections: Sequence[Detection], ground_truth: Sequence[Span], seconds: float) -> EventScores:
    """Score the detections in one stream of so many seconds."""
    spans, hits = [one.span for one in detections], matched(detections, ground_truth)
    return EventScores(
        minutes=seconds / 60,
        actions=len(ground_truth),
        detected=len(hits),
        f1={str(threshold): f1(spans, ground_truth, threshold)[0] for threshold in IOU_THRESHOLDS},
        edit_score=edit_score([span.label for span in spans], [span.label for span in ground_truth]),
        false_positives_per_minute=(len(detections) - len(hits)) / max(seconds / 60, 1e-9),
        start_latency=_latency([one.reported_s - span.start_s for one, span in hits]),
        end_latency=_latency([one.reported_s - span.end_s for one, span in hits]),
    )


def matched(detections: Sequence[Detection], ground_truth: Sequence[Span]) -> list[tuple[Detection, Span]]:
    """Return each detection that has a match at the least of IOU_THRESHOLDS, with its true span."""
    places = match([one.span for one in detections], ground_truth, IOU_THRESHOLDS[0])
    return [(one, ground_truth[place]) for one, place in zip(detections, places, strict=True) if place is not None]


def iou(one: Span, other: Span) -> float:
    """Return the intersection over union of two spans."""
    shared = min(one.end_s, other.end_s) - max(one.start_s, other.start_s)
    return shared / (max(one.end_s, other.end_s) - min(one.start_s, other.start_s)) if shared > 0 else 0.0


def match(detected: Sequence[Span], ground_truth: Sequence[Span], min_iou: float) -> list[int | None]:
    """Return for each detected span the index of the true span it matches, or None.

    Its match is the one of its label with the highest IoU, at least `min_iou`, that is not matched yet.
    """
    free: dict[str, list[int]] = {}
    for place, span in enumerate(ground_truth):
        free.setdefault(span.label, []).append(place)
    matches: list[int | None] = []
    for span in detected:
        ious = {place: iou(span, ground_truth[place]) for place in free.get(span.label, ())}
        best = max(ious, key=ious.__getitem__, default=None)
        if best is not None and ious[best] < min_iou:
            best = None
        if best is not None:
            free[span.label].remove(best)
        matches.append(best)
    return matches


def f1(detected: Sequence[Span], ground_truth: Sequence[Span], min_iou: float = 0.5) -> tuple[float, list[Span]]:
    """Return the segmental F1 at an IoU threshold, and the false positives."""
    matches = match(detected, ground_truth, min_iou)
    false_positives = [span for span, place in zip(detected, matches, strict=True) if place is None]
    hits, total = len(detected) - len(false_positives), len(detected) + len(ground_truth)
    return (2 * hits / total if total else 1.0), false_positives


def edit_score(detected: Sequence[str], ground_truth: Sequence[str]) -> float:
    """Return 1 less the Levenshtein distance of two rows of labels, relative to the longer one."""
    longer = max(len(detected), len(ground_truth))
    return 1.0 - _distance(detected, ground_truth) / longer if longer else 1.0


def _distance(one: Sequence[str], other: Sequence[str]) -> int:
    # Computes a whole row of the usual table: an insertion carries on the least to its left.
    labels, steps = np.array([*other], object), np.arange(len(other) + 1)
    row: NDArray[np.int_] = steps
    for number, label in enumerate(one, start=1):
        replaced = row[:-1] + (labels != label)
        below = np.concatenate([[number], np.minimum(row[1:] + 1, replaced)])
        row = np.minimum.accumulate(below - steps) + steps
    return int(row[-1])


def _latency(seconds: Sequence[float]) -> Latency | None:
    if not seconds:
        return None
    p50, p95 = np.percentile(seconds, (50, 95)).tolist()
    return Latency(p50=p50, p95=p95)
