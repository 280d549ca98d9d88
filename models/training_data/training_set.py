"""Build the set a model is fitted to: windows, transitions from and to idleness, and augmented copies of them."""

from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.keypoints.features import Features, features, size
from models.training_data import augment
from models.training_data.folds import Fold
from models.training_data.transitions import transition_windows
from models.training_data.windows import WindowSet, concatenate

BATCH: Final = 64  # windows augmented at once, 13 MB
AUGMENTED_COPIES: Final = (3, 12)  # fewest, most: the fewer windows, the more copies
TARGET_WINDOWS: Final = 8000  # of all copies, about
MAX_BYTES: Final = 2**30  # of memory for all copies; raw features take 14 times as much as body's
GROUP_WEIGHTS: Final = (0.6, 0.3, 0.1)  # of a batch: windows as they were cut, transitions, synthetic idle windows


class TrainingSet(NamedTuple):
    """n windows in c copies; the first copy is not augmented.

    The first `originals` windows are those that were cut; transitions and synthetic idle windows follow.
    """

    features: NDArray[np.float32]  # (c, n, length, F)
    targets: NDArray[np.float32]  # (c, n, labels), probabilities
    sample_weight: NDArray[np.float64]  # (n,), the probability that each is drawn; their sum is 1
    sequences: NDArray[np.intp]  # (n,), the index of the sequence each is from
    originals: int = 0

    def split(self, fold: Fold) -> tuple["TrainingSet", "TrainingSet"]:
        """Return all windows but the fold's to train on, and the fold's originals to validate on."""
        held_out, originals = fold[self.sequences], fold[self.sequences[: self.originals]]
        weight = self.sample_weight[~held_out] / self.sample_weight[~held_out].sum()
        features, targets = (copies[:1, : self.originals][:, originals] for copies in (self.features, self.targets))
        return (
            TrainingSet(self.features[:, ~held_out], self.targets[:, ~held_out], weight, self.sequences[~held_out]),
            TrainingSet(features, targets, class_balanced(targets[0]), self.sequences[: self.originals][originals]),
        )


def mix(parts: Sequence[tuple[TrainingSet, float]]) -> TrainingSet:
    """Join the copies of several training sets to a single one, with a weight for each set."""
    features, targets = (
        np.concatenate([getattr(part, what).reshape(-1, *getattr(part, what).shape[2:]) for part, _ in parts])[None]
        for what in ("features", "targets")
    )
    copies = [len(part.features) for part, _ in parts]
    weights = [np.tile(part.sample_weight / n, n) * weight for (part, weight), n in zip(parts, copies, strict=True)]
    sequences = [np.tile(part.sequences, n) for (part, _), n in zip(parts, copies, strict=True)]
    return TrainingSet(features, targets, np.concatenate(weights), np.concatenate(sequences))


def from_windows(windows: WindowSet, options: Features, labels: int) -> TrainingSet:
    """Return the windows as they are, every label with the same weight."""
    targets = np.eye(labels, dtype=np.float32)[windows.targets]
    seen = features(windows.windows, options)
    return TrainingSet(seen[None], targets[None], class_balanced(targets), windows.sequences, len(targets))


def augmented(
    windows: WindowSet,
    synthetic: WindowSet,
    idle: Collection[int],
    fold_of: NDArray[np.intp],
    options: Features,
    labels: int,
    seed: int,
) -> TrainingSet:
    """Return windows, transitions between actions and idle windows, and synthetic idle windows, with augmented copies.

    idle: indices of the idle labels. fold_of: the fold of each sequence; an action is joined to idle windows of its own
    subject and fold only, so that `split` leaves nothing of a fold.
    """
    rng, is_idle = np.random.default_rng(seed), np.isin(windows.targets, list(idle))
    resting = concatenate([windows.take(is_idle), synthetic], windows.windows.shape[1])
    acting = windows.take(~is_idle)
    partners = _idle_partners(acting, resting, fold_of)
    acting = acting.take(np.array([len(indices) > 0 for indices in partners], bool))
    partners = [indices for indices in partners if len(indices)]
    groups, copies = (windows, acting, synthetic), []
    for number in range(_copies(groups, options)):
        beside = resting.take(np.array([rng.choice(indices) for indices in partners], int))
        batches = _augmented_copy(windows, acting, beside, synthetic, options, labels, rng if number else None)
        copies.append([np.concatenate(columns) for columns in zip(*batches, strict=True)])
    seen, targets = (np.stack(columns) for columns in zip(*copies, strict=True))
    of_group = np.split(targets[0], np.cumsum([len(group.targets) for group in groups])[:-1])
    weights = [weight * class_balanced(some) for weight, some in zip(GROUP_WEIGHTS, of_group, strict=True)]
    weight, sequences = np.concatenate(weights), np.concatenate([group.sequences for group in groups])
    return TrainingSet(seen, targets, weight / weight.sum(), sequences, len(windows.targets))


def _idle_partners(acting: WindowSet, resting: WindowSet, fold_of: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Return for each action the indices of the idle windows that it may be joined to."""
    return [
        np.flatnonzero((resting.subjects == subject) & (fold_of[resting.sequences] == fold_of[sequence]))
        for subject, sequence in zip(acting.subjects, acting.sequences, strict=True)
    ]


def _copies(groups: Sequence[WindowSet], options: Features) -> int:
    n, length = sum(len(group.targets) for group in groups), groups[0].windows.shape[1]
    most = MAX_BYTES // (n * length * size(options) * 4)
    return int(max(1, min(most, np.clip(TARGET_WINDOWS // len(groups[0].targets), *AUGMENTED_COPIES))))


def _augmented_copy(
    windows: WindowSet,
    acting: WindowSet,
    beside: WindowSet,
    synthetic: WindowSet,
    options: Features,
    labels: int,
    rng: np.random.Generator | None,
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Yield features and targets of all windows, of transitions between `acting` and `beside`, and of synthetic idle.

    rng: None for the copy that is not augmented.
    """
    one_hot, transition_rng = np.eye(labels, dtype=np.float32), rng or np.random.default_rng(0)

    def seen(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        return features(augment.augment_camera(windows, rng) if rng else windows, options)

    for part in _batches(windows):
        yield seen(augment.augment_motion(part.windows, rng) if rng else part.windows), one_hot[part.targets]
    for part, partner in zip(_batches(acting), _batches(beside), strict=True):
        moved = augment.augment_motion(part.windows, transition_rng)
        transitions, action = transition_windows(moved, partner.windows, transition_rng)
        idle = one_hot[partner.targets]
        yield seen(transitions), idle + action[:, None] * (one_hot[part.targets] - idle)
    for part in _batches(synthetic):
        yield seen(part.windows), one_hot[part.targets]


def _batches(windows: WindowSet) -> Iterator[WindowSet]:
    for first in range(0, len(windows.targets), BATCH):
        yield windows.take(slice(first, first + BATCH))


def class_balanced(targets: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return weights (n,) for targets (n, labels) that make every label as frequent; their sum is 1, or 0 for n = 0."""
    frequency = targets.sum(axis=0)
    weight = (targets / np.maximum(frequency, 1e-9)).sum(axis=1).astype(float)
    return weight / max(weight.sum(), 1e-9)
