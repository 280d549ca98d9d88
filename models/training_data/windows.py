"""Cut labelled sequences into windows."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.keypoints.landmarks import SIZE
from common.recognition.classifier import WindowSpec
from common.recording.sequence import KeypointSequence
from models.simulation import pipeline


class WindowSet(NamedTuple):
    """n labelled windows of raw keypoints."""

    windows: NDArray[np.float32]  # (n, length, 1662)
    targets: NDArray[np.intp]  # (n,), the index of each one's label
    subjects: NDArray[np.str_]  # (n,)
    sequences: NDArray[np.intp]  # (n,), the index of the sequence it is from

    def take(self, index: NDArray | slice) -> "WindowSet":
        """Return the windows at an index, a mask or a slice."""
        return WindowSet._make(column[index] for column in self)


def cut_windows(
    sequences: Iterable[KeypointSequence], labels: Sequence[str], shape: WindowSpec, stride: int
) -> WindowSet:
    """Cut every stride-th window of each sequence, by the code that runs live; a short sequence has none."""
    sets = [
        WindowSet(
            np.stack(found),
            np.full(len(found), labels.index(sequence.label)),
            np.full(len(found), sequence.subject),
            np.full(len(found), number),
        )
        for number, sequence in enumerate(sequences)
        if (found := list(pipeline.live_windows(sequence, shape, stride)))
    ]
    return concatenate(sets, shape.length)


def drop_short(
    sequences: Sequence[KeypointSequence], windows: WindowSet, shape: WindowSpec
) -> tuple[list[KeypointSequence], WindowSet]:
    """Drop sequences without a window; raises UserError for a label that fewer than two sequences are left of."""
    kept, renumbered = np.unique(windows.sequences, return_inverse=True)
    long = [sequences[number] for number in kept]
    total, left = (Counter(sequence.label for sequence in some) for some in (sequences, long))
    for label in total:
        if left[label] < 2:
            frames = max(len(sequence.captured_ns) for sequence in sequences if sequence.label == label)
            rate = f" at {shape.fps:g} frames/s" if shape.fps else ""
            raise UserError(
                f"Of {total[label]} sequences of {label!r}, whose longest has {frames} frames, {left[label]} have a "
                f"window of {shape.length} frames{rate}: record longer ones, or choose a shorter --window-length."
            )
    return long, windows._replace(sequences=renumbered)


def subsample(windows: WindowSet, most: int) -> WindowSet:
    """Take about `most` windows, evenly from each sequence and at least one: neighbours are almost the same."""
    ratio = most / len(windows.targets)
    if ratio >= 1:
        return windows
    chosen = np.zeros(len(windows.targets), bool)
    for number in np.unique(windows.sequences):
        places = np.flatnonzero(windows.sequences == number)
        chosen[places[np.linspace(0, len(places) - 1, max(1, round(ratio * len(places)))).astype(int)]] = True
    return windows.take(chosen)


def concatenate(sets: Sequence[WindowSet], length: int) -> WindowSet:
    """Join sets of windows of `length` frames; there may be none."""
    none = WindowSet(np.zeros((0, length, SIZE), np.float32), *(np.zeros(0, kind) for kind in (int, str, int)))
    return WindowSet._make(np.concatenate(columns) for columns in zip(none, *sets, strict=True))
