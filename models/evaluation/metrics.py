"""Compute accuracy, loss, confusion, calibration and their spread over subjects.

Throughout, probabilities are float (n, labels), each row adding up to 1; targets are int (n,), indices of true labels.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS: Final = 15
TOP_K: Final = (2, 3, 5)
EPS: Final = 1e-7  # lower probabilities count as this much in the loss, as in Keras


class OneVsRest(msgspec.Struct, kw_only=True, frozen=True):
    """One label against all others; None where the denominator is 0."""

    tp: int
    fp: int
    tn: int
    fn: int
    precision: float | None
    recall: float | None
    f1: float | None


class Bin(msgspec.Struct, kw_only=True, frozen=True):
    """Predictions of about the same confidence."""

    low: float
    high: float
    count: int
    confidence: float | None  # mean
    accuracy: float | None


class Spread(msgspec.Struct, kw_only=True, frozen=True):
    """Accuracy over the subjects."""

    min: float
    median: float
    max: float


class Scores(msgspec.Struct, kw_only=True, frozen=True):
    """Scores of n windows or sequences."""

    count: int
    accuracy: float
    loss: float  # mean cross-entropy, nats
    top_k_accuracy: dict[str, float]  # by k
    macro_f1: float  # mean over the labels that the data has
    calibration_error: float  # expected, over BINS bins
    classes: dict[str, OneVsRest]
    confusion: list[list[int]]  # [true label][predicted label], in the order of `classes`
    accuracy_by_subject: dict[str, float]  # increasing
    spread: Spread
    reliability: list[Bin]


def score(
    probabilities: NDArray[np.floating], targets: NDArray[np.intp], subjects: ArrayLike, labels: Sequence[str]
) -> Scores:
    """Score one row or more; subjects: who recorded each, (n,)."""
    correct = probabilities.argmax(axis=1) == targets
    matrix = confusion(targets, probabilities.argmax(axis=1), len(labels))
    classes = dict(zip(labels, one_vs_rest(matrix), strict=True))
    by_subject, table = subject_accuracies(correct, subjects), reliability(probabilities, targets)
    f1s = [scores.f1 or 0.0 for scores in classes.values() if scores.tp + scores.fn]
    return Scores(
        count=len(targets),
        accuracy=float(correct.mean()),
        loss=loss(probabilities, targets),
        top_k_accuracy={str(k): top_k_accuracy(probabilities, targets, k) for k in TOP_K if k < len(labels)},
        macro_f1=float(np.mean(f1s)),
        calibration_error=calibration_error(table),
        classes=classes,
        confusion=matrix.tolist(),
        accuracy_by_subject=by_subject,
        spread=spread(by_subject),
        reliability=table,
    )


def mask_labels(probabilities: NDArray[np.floating], labels: Sequence[int]) -> NDArray[np.floating]:
    """Set the probabilities of some labels, by index, to 0, and scale those of the others to add up to 1."""
    rows = probabilities.copy()
    rows[:, list(labels)] = 0
    return rows / np.maximum(rows.sum(axis=1, keepdims=True), EPS)


def loss(probabilities: NDArray[np.floating], targets: NDArray[np.intp]) -> float:
    """Return the mean cross-entropy in nats."""
    of_true = probabilities[np.arange(len(targets)), targets]
    return float(-np.log(np.clip(of_true, EPS, 1.0)).mean())


def top_k_accuracy(probabilities: NDArray[np.floating], targets: NDArray[np.intp], k: int) -> float:
    """Return the ratio of rows whose true label is among the k most probable; ties count as such."""
    of_true = probabilities[np.arange(len(targets)), targets, None]
    return float(((probabilities > of_true).sum(axis=1) < k).mean())


def confusion(targets: NDArray[np.intp], predicted: NDArray[np.intp], labels: int) -> NDArray[np.intp]:
    """Count true labels (rows) by predicted label (columns), (labels, labels)."""
    return np.bincount(targets * labels + predicted, minlength=labels**2).reshape(labels, labels)


def one_vs_rest(matrix: NDArray[np.intp]) -> list[OneVsRest]:
    """Return the scores of each label of a confusion matrix."""
    tps = np.diag(matrix)
    rows = zip(tps.tolist(), (matrix.sum(axis=0) - tps).tolist(), (matrix.sum(axis=1) - tps).tolist(), strict=True)
    total = int(matrix.sum())
    return [
        OneVsRest(
            tp=tp,
            fp=fp,
            tn=total - tp - fp - fn,
            fn=fn,
            precision=_ratio(tp, tp + fp),
            recall=_ratio(tp, tp + fn),
            f1=_ratio(2 * tp, 2 * tp + fp + fn),
        )
        for tp, fp, fn in rows
    ]


def subject_accuracies(correct: NDArray[np.bool_], subjects: ArrayLike) -> dict[str, float]:
    """Return the accuracy of each subject, increasing."""
    names = np.asarray(subjects)
    accuracies = {str(name): float(correct[names == name].mean()) for name in np.unique(names)}
    return dict(sorted(accuracies.items(), key=lambda item: item[1]))


def spread(accuracies: Mapping[str, float]) -> Spread:
    """Summarize the accuracies of subjects."""
    values = list(accuracies.values())
    return Spread(min=min(values), median=float(np.median(values)), max=max(values))


def reliability(probabilities: NDArray[np.floating], targets: NDArray[np.intp], bins: int = BINS) -> list[Bin]:
    """Compare accuracy to confidence, in bins of equal width."""
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
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
                accuracy=float(correct[inside].mean()) if count else None,
            )
        )
    return table


def calibration_error(table: Sequence[Bin]) -> float:
    """Return the expected calibration error: the mean distance of accuracy and confidence (Guo et al. 2017)."""
    gaps = [row.count * abs((row.accuracy or 0.0) - (row.confidence or 0.0)) for row in table]
    return sum(gaps) / sum(row.count for row in table)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
