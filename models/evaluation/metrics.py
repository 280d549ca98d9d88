"""Probabilities and what was right in; accuracy, loss, confusion, calibration and their spread over people out.

Everywhere: probabilities float (n, labels), each row adding up to 1; targets int (n,), the number of the right label.
"""

from collections.abc import Mapping
from collections.abc import Sequence as Row
from typing import Final

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS: Final = 15
TOPS: Final = (2, 3, 5)
LEAST: Final = 1e-7  # a probability below it counts as this much in the loss, as in Keras


class OneVsRest(msgspec.Struct, kw_only=True, frozen=True):
    """How one label was told from all others; None where nothing was there to divide by."""

    tp: int
    fp: int
    tn: int
    fn: int
    precision: float | None
    recall: float | None
    f1: float | None


class Bin(msgspec.Struct, kw_only=True, frozen=True):
    """Those of which the model was about equally sure."""

    low: float
    high: float
    count: int
    confidence: float | None  # mean
    accuracy: float | None


class Spread(msgspec.Struct, kw_only=True, frozen=True):
    """Accuracy over the recorders."""

    lowest: float
    median: float
    highest: float


class Scores(msgspec.Struct, kw_only=True, frozen=True):
    """All that is said about n judged windows or sequences."""

    count: int
    accuracy: float
    loss: float  # mean cross-entropy, nats
    top: dict[str, float]  # by k
    macro_f1: float  # mean of the labels that the data has
    calibration_error: float  # expected, over BINS bins
    classes: dict[str, OneVsRest]
    confusion: list[list[int]]  # [right label][told label], in the order of `classes`
    recorders: dict[str, float]  # accuracy of each
    spread: Spread
    reliability: list[Bin]


def score(probabilities: NDArray[np.floating], targets: NDArray[np.intp], who: ArrayLike, labels: Row[str]) -> Scores:
    """Everything, of one row at least; `who` (n,) recorded them."""
    right = probabilities.argmax(axis=1) == targets
    matrix = confusion(targets, probabilities.argmax(axis=1), len(labels))
    classes = dict(zip(labels, one_vs_rest(matrix), strict=True))
    recorders, table = by_recorder(right, who), reliability(probabilities, targets)
    there = [scores.f1 or 0.0 for scores in classes.values() if scores.tp + scores.fn]
    return Scores(
        count=len(targets),
        accuracy=float(right.mean()),
        loss=loss(probabilities, targets),
        top={str(k): top(probabilities, targets, k) for k in TOPS if k < len(labels)},
        macro_f1=float(np.mean(there)),
        calibration_error=calibration_error(table),
        classes=classes,
        confusion=matrix.tolist(),
        recorders=recorders,
        spread=spread(recorders),
        reliability=table,
    )


def without(probabilities: NDArray[np.floating], idle: Row[int]) -> NDArray[np.floating]:
    """The same rows of windows that are known to show an action: the idle labels, by number, get 0."""
    rows = probabilities.copy()
    rows[:, list(idle)] = 0
    return rows / np.maximum(rows.sum(axis=1, keepdims=True), LEAST)


def loss(probabilities: NDArray[np.floating], targets: NDArray[np.intp]) -> float:
    """Mean cross-entropy in nats."""
    of_right = probabilities[np.arange(len(targets)), targets]
    return float(-np.log(np.clip(of_right, LEAST, 1.0)).mean())


def top(probabilities: NDArray[np.floating], targets: NDArray[np.intp], k: int) -> float:
    """The share whose right label is among the k likeliest; a tie counts for it."""
    of_right = probabilities[np.arange(len(targets)), targets, None]
    return float(((probabilities > of_right).sum(axis=1) < k).mean())


def confusion(targets: NDArray[np.intp], told: NDArray[np.intp], labels: int) -> NDArray[np.intp]:
    """Counts (labels, labels): rows what was right, columns what was told."""
    return np.bincount(targets * labels + told, minlength=labels**2).reshape(labels, labels)


def one_vs_rest(matrix: NDArray[np.intp]) -> list[OneVsRest]:
    """Of a confusion matrix, by label."""
    tps = np.diag(matrix)
    rows = zip(tps.tolist(), (matrix.sum(axis=0) - tps).tolist(), (matrix.sum(axis=1) - tps).tolist(), strict=True)
    total = int(matrix.sum())
    return [
        OneVsRest(
            tp=tp,
            fp=fp,
            tn=total - tp - fp - fn,
            fn=fn,
            precision=_share(tp, tp + fp),
            recall=_share(tp, tp + fn),
            f1=_share(2 * tp, 2 * tp + fp + fn),
        )
        for tp, fp, fn in rows
    ]


def by_recorder(right: NDArray[np.bool_], who: ArrayLike) -> dict[str, float]:
    """Accuracy of each recorder, the hardest first."""
    recorders = np.asarray(who)
    accuracies = {str(recorder): float(right[recorders == recorder].mean()) for recorder in np.unique(recorders)}
    return dict(sorted(accuracies.items(), key=lambda item: item[1]))


def spread(accuracies: Mapping[str, float]) -> Spread:
    values = list(accuracies.values())
    return Spread(lowest=min(values), median=float(np.median(values)), highest=max(values))


def reliability(probabilities: NDArray[np.floating], targets: NDArray[np.intp], bins: int = BINS) -> list[Bin]:
    """How often it is right when it is that sure, in bins of equal width."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    table = []
    for number in range(bins):
        inside = place == number
        count = int(inside.sum())
        table.append(
            Bin(
                low=number / bins,
                high=(number + 1) / bins,
                count=count,
                confidence=float(confidence[inside].mean()) if count else None,
                accuracy=float(right[inside].mean()) if count else None,
            )
        )
    return table


def calibration_error(table: Row[Bin]) -> float:
    """Expected calibration error: the mean distance of accuracy and confidence (Guo et al. 2017)."""
    gaps = [row.count * abs((row.accuracy or 0.0) - (row.confidence or 0.0)) for row in table]
    return sum(gaps) / sum(row.count for row in table)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
