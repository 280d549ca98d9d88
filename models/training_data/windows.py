"""Sequences in; the windows that there are to learn from, out."""

from collections import Counter
from collections.abc import Iterable
from collections.abc import Sequence as Row
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.keypoints.landmarks import SIZE
from common.recognition.classifier import WindowShape
from common.recording.sequence import KeypointSequence
from models.simulation import pipeline
from models.training_data import folds


class Examples(NamedTuple):
    """n windows, by the code that runs live."""

    windows: NDArray[np.float32]  # (n, length, 1662)
    targets: NDArray[np.intp]  # (n,), the number of each one's label
    recorders: NDArray[np.str_]  # (n,)
    sequences: NDArray[np.intp]  # (n,), the number of the sequence it is from

    def where(self, chosen: NDArray[np.bool_]) -> "Examples":
        return Examples._make(column[chosen] for column in self)

    def at(self, places: Row[int]) -> "Examples":
        return Examples._make(column[np.array(places, int)] for column in self)


def cut(sequences: Iterable[KeypointSequence], labels: Row[str], shape: WindowShape, stride: int) -> Examples:
    """Every stride-th window of every sequence; raises UserError if none is long enough."""
    rows = [
        (window, labels.index(sequence.label), sequence.subject, number)
        for number, sequence in enumerate(sequences)
        for window in pipeline.cut(sequence, shape, stride)
    ]
    if not rows:
        raise UserError(f"No sequence is long enough for a window of {_described(shape)}: record longer ones.")
    windows, targets, recorders, numbers = zip(*rows, strict=True)
    return Examples(np.stack(windows), np.array(targets), np.array(recorders), np.array(numbers))


def long_enough(sequences: Row[KeypointSequence], shape: WindowShape) -> list[KeypointSequence]:
    """Those with a window; raises UserError for a label that has fewer than two of them."""
    long = [sequence for sequence in sequences if next(pipeline.cut(sequence, shape, 1), None) is not None]
    there, left = (Counter(sequence.label for sequence in some) for some in (sequences, long))
    for label in there:
        if left[label] < 2:
            frames = max(len(sequence.captured_ns) for sequence in sequences if sequence.label == label)
            raise UserError(
                f"Of {there[label]} sequences of {label!r}, whose longest has {frames} frames, {left[label]} have a "
                f"window of {_described(shape)}: record longer ones, or choose a shorter --length."
            )
    return long


def _described(shape: WindowShape) -> str:
    return f"{shape.length} frames" + (f" at {shape.fps:g} frames/s" if shape.fps else "")


def thinned(examples: Examples, most: int) -> Examples:
    """About `most` of them, evenly from each sequence, and one of each at least: neighbours are almost the same."""
    share = most / len(examples.targets)
    if share >= 1:
        return examples
    chosen = np.zeros(len(examples.targets), bool)
    for number in np.unique(examples.sequences):
        windows = np.flatnonzero(examples.sequences == number)
        chosen[windows[np.linspace(0, len(windows) - 1, max(1, round(share * len(windows)))).astype(int)]] = True
    return examples.where(chosen)


def joined(parts: Row[Examples], length: int) -> Examples:
    """All of them."""
    none = Examples(np.zeros((0, length, SIZE), np.float32), *(np.zeros(0, kind) for kind in (int, str, int)))
    return Examples._make(np.concatenate(columns) for columns in zip(none, *parts, strict=True))


def parted(sequences: Row[KeypointSequence], parts: int, seed: int) -> list[NDArray[np.bool_]]:
    """Folds (n,) of the sequences: of whole recorders where they allow it, else as much of each label in all.

    They do not where there is one, or where a fold would hold all sequences of a label, so that nothing teaches it.
    """
    recorders, labels = (np.array([getattr(one, what) for one in sequences]) for what in ("subject", "label"))
    if (there := len(set(recorders))) > 1:
        found = folds.by_recorder(recorders, min(parts, there), seed)
        if all(set(labels[~fold]) == set(labels) for fold in found):
            return found
    return folds.stratified(labels, min(parts, min(Counter(labels.tolist()).values())), seed)


def are_of_recorders(parts: Iterable[NDArray[np.bool_]], sequences: Row[KeypointSequence]) -> bool:
    """Whether nobody is in two of the parts."""
    recorders = np.array([sequence.subject for sequence in sequences])
    return sum(len(set(recorders[part])) for part in parts) == len(set(recorders))
