"""Windows of actions, and rests of who performs them, in; windows in which an action begins, ends, or none is, out.

A model that has only seen whole actions calls whatever lies between them by the nearest name. So each action is shown
again as it comes out of a rest and goes into one, as it will live.
"""

from collections.abc import Collection
from collections.abc import Sequence as Row
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.keypoints.landmarks import PARTS, SLICES
from common.keypoints.window import seen_parts
from common.recording.sequence import KeypointSequence
from models.simulation.streams import at_rest, tremble
from models.training_data.windows import Examples, joined

PASSAGE: Final = (5, 20)  # frames from a rest to an action or back: 0.2 to 0.8 s
HELD: Final = 24  # rests of each recorder
RAMP: Final = (0.35, 0.65)  # a window with less of an action shows nothing, one with more shows the action


class Edges(NamedTuple):
    """Windows at the edge of an action."""

    windows: NDArray[np.float32]  # (n, length, 1662)
    shares: NDArray[np.float32]  # (n,), how far each shows the action rather than nothing, 0 to 1


def held(sequences: Row[KeypointSequence], idle: Collection[str], length: int, target: int, seed: int) -> Examples:
    """Examples of `target` for recorders who recorded no idle label: the restful frames of their sequences, held.

    A recorder whose hands are always in view has none either.
    """
    rng, rests = np.random.default_rng(seed), list[Examples]()
    rested = {sequence.subject for sequence in sequences if sequence.label in idle}
    for recorder in sorted({sequence.subject for sequence in sequences} - rested):
        numbers = [number for number, sequence in enumerate(sequences) if sequence.subject == recorder]
        frames = np.concatenate([sequences[number].keypoints for number in numbers])
        whose = np.repeat(numbers, [len(sequences[number].keypoints) for number in numbers])
        if len(restful := at_rest(frames)):
            chosen = rng.choice(restful, HELD)
            windows = tremble(np.repeat(frames[chosen, None], length, axis=1), rng)
            rests.append(Examples(windows, np.full(HELD, target), np.full(HELD, recorder), whose[chosen]))
    return joined(rests, length)


def edges(windows: NDArray[np.float32], rests: NDArray[np.float32], rng: np.random.Generator) -> Edges:
    """Each window (n, length, 1662) as it comes out of the rest (n, length, 1662) beside it, or goes into it."""
    n, length, _ = windows.shape
    frames = int(rng.integers(*PASSAGE, endpoint=True))
    begins = rng.random(n) < 0.5
    first = np.where(begins[:, None, None], rests, windows)
    second = np.where(begins[:, None, None], windows, rests)
    whole = np.concatenate([first, passage(first[:, -1], second[:, 0], frames), second], axis=1)
    off = rng.integers(1, length + frames, n, endpoint=True)  # frames of the action that are not in view
    start = np.where(begins, length + frames - off, off)
    rows = start[:, None] + np.arange(length)
    low, high = RAMP
    shares = np.clip((np.maximum(length - off, 0) / length - low) / (high - low), 0, 1)
    return Edges(whole[np.arange(n)[:, None], rows], shares.astype(np.float32))


def passage(one: NDArray[np.float32], other: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """The frames (n, frames, 1662) between vectors (n, 1662); a part that one of both lacks is the nearer one's."""
    share = (np.arange(1, frames + 1, dtype=np.float32) / (frames + 1))[:, None]
    between = one[:, None] + (other - one)[:, None] * share
    nearer = np.where(share < 0.5, one[:, None], other[:, None])
    broken = seen_parts(one) != seen_parts(other)
    for place, part in enumerate(PARTS):
        rows = broken[:, place]
        between[rows, :, SLICES[part]] = nearer[rows, :, SLICES[part]]
    return between
