"""Make windows in which an action begins or ends, and idle windows for subjects who recorded none.

A model that has only seen whole actions calls whatever lies between them by the nearest name. So each action is shown
again as it follows idleness and as idleness follows it, as it will live.
"""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.keypoints.landmarks import PARTS, SLICES
from common.keypoints.window import parts_detected
from common.recording.sequence import KeypointSequence
from models.simulation.streams import idle_frame_indices, jitter
from models.training_data.windows import WindowSet, concatenate

TRANSITION_FRAMES: Final = (5, 20)  # fewest, most, between idleness and an action: 0.2 to 0.8 s
WINDOWS_PER_SUBJECT: Final = 24  # of synthetic idleness
RAMP: Final = (0.35, 0.65)  # ratio of action in a window: below the first it is idle, above the second the action


class TransitionWindows(NamedTuple):
    """Windows at the beginning or end of an action."""

    windows: NDArray[np.float32]  # (n, length, 1662)
    action_fraction: NDArray[np.float32]  # (n,), 0 to 1, the target probability of the action; the rest is idle


def synthetic_idle(
    sequences: Sequence[KeypointSequence], idle: Collection[str], length: int, target: int, seed: int
) -> WindowSet:
    """Make idle windows, labelled `target`, for subjects without a sequence of an idle label.

    Each is a frame of theirs without hands in view, held with jitter. A subject whose hands are always in view gets
    none.
    """
    rng, sets = np.random.default_rng(seed), list[WindowSet]()
    with_idle = {sequence.subject for sequence in sequences if sequence.label in idle}
    for subject in sorted({sequence.subject for sequence in sequences} - with_idle):
        numbers = [number for number, sequence in enumerate(sequences) if sequence.subject == subject]
        frames = np.concatenate([sequences[number].keypoints for number in numbers])
        sequence_of = np.repeat(numbers, [len(sequences[number].keypoints) for number in numbers])
        if len(still := idle_frame_indices(frames)):
            chosen = rng.choice(still, WINDOWS_PER_SUBJECT)
            windows = jitter(np.repeat(frames[chosen, None], length, axis=1), rng)
            targets, subjects = (np.full(WINDOWS_PER_SUBJECT, value) for value in (target, subject))
            sets.append(WindowSet(windows, targets, subjects, sequence_of[chosen]))
    return concatenate(sets, length)


def transition_windows(
    windows: NDArray[np.float32], idle: NDArray[np.float32], rng: np.random.Generator
) -> TransitionWindows:
    """Join each action window (n, length, 1662) to the idle one (n, length, 1662), before or after it, and crop."""
    n, length, _ = windows.shape
    frames = int(rng.integers(*TRANSITION_FRAMES, endpoint=True))
    begins = rng.random(n) < 0.5
    first = np.where(begins[:, None, None], idle, windows)
    second = np.where(begins[:, None, None], windows, idle)
    joined = np.concatenate([first, interpolate(first[:, -1], second[:, 0], frames), second], axis=1)
    cropped = rng.integers(1, length + frames, n, endpoint=True)  # frames of the action that are not in view
    start = np.where(begins, length + frames - cropped, cropped)
    rows = start[:, None] + np.arange(length)
    low, high = RAMP
    action = np.clip((np.maximum(length - cropped, 0) / length - low) / (high - low), 0, 1)
    return TransitionWindows(joined[np.arange(n)[:, None], rows], action.astype(np.float32))


def interpolate(one: NDArray[np.float32], other: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """Interpolate frames (n, frames, 1662) between vectors (n, 1662); a part absent in one is taken from the nearer."""
    at = (np.arange(1, frames + 1, dtype=np.float32) / (frames + 1))[:, None]
    between = one[:, None] + (other - one)[:, None] * at
    nearer = np.where(at < 0.5, one[:, None], other[:, None])
    differs = parts_detected(one) != parts_detected(other)
    for place, part in enumerate(PARTS):
        rows = differs[:, place]
        between[rows, :, SLICES[part]] = nearer[rows, :, SLICES[part]]
    return between
