"""Examples and rests in; what a model learns from out: each as it is and augmented, and at the edge of a rest."""

from collections.abc import Collection, Iterator
from collections.abc import Sequence as Row
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.keypoints.features import Features, features, size
from models.training_data import augment
from models.training_data.transitions import edges
from models.training_data.windows import Examples, joined

CHUNK: Final = 64  # windows changed at once, 13 MB
ROUNDS: Final = (3, 12)  # fewest, most: of few examples more variants
WINDOWS: Final = 8000  # of all rounds, about
BYTES: Final = 2**30  # of memory for all of them; raw features take 14 times as much as body's
SHARES: Final = (0.6, 0.3, 0.1)  # of a batch: examples, edges, rests


class Lessons(NamedTuple):
    """n lessons, with a variant of each in each of r rounds, in the first of them not augmented."""

    features: NDArray[np.float32]  # (r, n, length, F)
    targets: NDArray[np.float32]  # (r, n, labels), probabilities
    shares: NDArray[np.float64]  # (n,), how often each is to be seen; their sum is 1
    sequences: NDArray[np.intp]  # (n,), the number of the sequence each is from

    def without(self, part: NDArray[np.bool_]) -> "Lessons":
        """Those of sequences that are not in the part (n sequences,), by which they were varied."""
        rest = ~part[self.sequences]
        shares = self.shares[rest] / self.shares[rest].sum()
        return Lessons(self.features[:, rest], self.targets[:, rest], shares, self.sequences[rest])


def mixed(parts: Row[tuple[Lessons, float]]) -> Lessons:
    """One round of all variants of several lessons, each seen in its share."""
    features, targets = (
        np.concatenate([getattr(part, what).reshape(-1, *getattr(part, what).shape[2:]) for part, _ in parts])[None]
        for what in ("features", "targets")
    )
    rounds = [len(part.features) for part, _ in parts]
    shares = [np.tile(part.shares / times, times) * share for (part, share), times in zip(parts, rounds, strict=True)]
    sequences = [np.tile(part.sequences, times) for (part, _), times in zip(parts, rounds, strict=True)]
    return Lessons(features, targets, np.concatenate(shares), np.concatenate(sequences))


def plain(examples: Examples, options: Features, labels: int) -> Lessons:
    """The examples, as they are."""
    targets = np.eye(labels, dtype=np.float32)[examples.targets]
    return Lessons(features(examples.windows, options)[None], targets[None], _evened(targets), examples.sequences)


def varied(
    examples: Examples,
    held: Examples,
    idle: Collection[int],
    parts: NDArray[np.intp],
    options: Features,
    labels: int,
    seed: int,
) -> Lessons:
    """All that can be learnt from examples, of which those with a target in `idle` are rests, and from held rests.

    parts: of each sequence (n sequences,). An action stands beside rests of its own recorder and part alone, so that
    lessons without a part have nothing of it.
    """
    rng, recorded = np.random.default_rng(seed), np.isin(examples.targets, list(idle))
    rests, acting = joined([examples.where(recorded), held], examples.windows.shape[1]), examples.where(~recorded)
    partners = _partners(acting, rests, parts)
    acting = acting.where(np.array([len(numbers) > 0 for numbers in partners], bool))
    partners = [numbers for numbers in partners if len(numbers)]
    groups, rows = (examples, acting, held), []
    for number in range(_rounds(groups, options)):
        beside = rests.at([rng.choice(numbers) for numbers in partners])
        pieces = _round(examples, acting, beside, held, options, labels, rng if number else None)
        rows.append([np.concatenate(columns) for columns in zip(*pieces, strict=True)])
    seen, targets = (np.stack(columns) for columns in zip(*rows, strict=True))
    of_group = np.split(targets[0], np.cumsum([len(group.targets) for group in groups])[:-1])
    shares = np.concatenate([share * _evened(some) for share, some in zip(SHARES, of_group, strict=True)])
    return Lessons(seen, targets, shares / shares.sum(), np.concatenate([group.sequences for group in groups]))


def _partners(acting: Examples, rests: Examples, parts: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Of each action the numbers of the rests that it may stand beside."""
    return [
        np.flatnonzero((rests.recorders == recorder) & (parts[rests.sequences] == parts[sequence]))
        for recorder, sequence in zip(acting.recorders, acting.sequences, strict=True)
    ]


def _rounds(groups: Row[Examples], options: Features) -> int:
    taught, length = sum(len(group.targets) for group in groups), groups[0].windows.shape[1]
    room = BYTES // (taught * length * size(options) * 4)
    return int(max(1, min(room, np.clip(WINDOWS // len(groups[0].targets), *ROUNDS))))


def _round(
    examples: Examples,
    acting: Examples,
    beside: Examples,
    held: Examples,
    options: Features,
    labels: int,
    rng: np.random.Generator | None,
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Features and targets of examples, of actions at the edge of the rest beside them, and of held rests.

    rng: None, as they are.
    """
    one_hot, edging = np.eye(labels, dtype=np.float32), rng or np.random.default_rng(0)

    def filmed(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        return features(augment.film(windows, rng) if rng else windows, options)

    for part in _chunks(examples):
        yield filmed(augment.perform(part.windows, rng) if rng else part.windows), one_hot[part.targets]
    for part, rest in zip(_chunks(acting), _chunks(beside), strict=True):
        windows, shares = edges(augment.perform(part.windows, edging), rest.windows, edging)
        resting = one_hot[rest.targets]
        yield filmed(windows), resting + shares[:, None] * (one_hot[part.targets] - resting)
    for part in _chunks(held):
        yield filmed(part.windows), one_hot[part.targets]


def _chunks(examples: Examples) -> Iterator[Examples]:
    for first in range(0, len(examples.targets), CHUNK):
        yield Examples._make(column[first : first + CHUNK] for column in examples)


def _evened(targets: NDArray[np.float32]) -> NDArray[np.float64]:
    """Shares of lessons (n, labels) by which every label is as frequent; their sum is 1, or 0 of none."""
    there = targets.sum(axis=0)
    shares = (targets / np.maximum(there, 1e-9)).sum(axis=1).astype(float)
    return shares / max(shares.sum(), 1e-9)
