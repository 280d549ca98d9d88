"""Examples and rests in; what a model learns from out: each as it is and augmented, and at the edge of a rest."""

from collections.abc import Collection, Iterator
from collections.abc import Sequence as Row
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.features import Features, features, size
from models import augment
from models.examples import Examples, joined
from models.rests import edges

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

    def where(self, chosen: NDArray[np.bool_]) -> "Lessons":
        shares = self.shares[chosen] / self.shares[chosen].sum()
        return Lessons(self.features[:, chosen], self.targets[:, chosen], shares, self.sequences[chosen])


def mixed(parts: Row[tuple[Lessons, float]]) -> Lessons:
    """One round of all variants of several lessons, each seen in its share."""
    features, targets = (
        np.concatenate([getattr(part, what).reshape(-1, *getattr(part, what).shape[2:]) for part, _ in parts])[None]
        for what in ("features", "targets")
    )
    rounds = [len(part.features) for part, _ in parts]
    shares = [np.tile(part.shares / times, times) * share for (part, share), times in zip(parts, rounds, strict=True)]
    numbers = [np.tile(part.sequences, times) for (part, _), times in zip(parts, rounds, strict=True)]
    return Lessons(features, targets, np.concatenate(shares), np.concatenate(numbers))


Random = np.random.Generator | None  # None: as they are
Piece = tuple[
    NDArray[np.float32], NDArray[np.float32]
]  # windows (m, length, 1662), or features, and targets (m, labels)


def plain(examples: Examples, options: Features, labels: int) -> Lessons:
    """The examples, as they are."""
    targets = np.eye(labels, dtype=np.float32)[examples.targets]
    return Lessons(features(examples.windows, options)[None], targets[None], _evened(targets), examples.sequences)


def varied(
    examples: Examples, held: Examples, idle: Collection[int], options: Features, labels: int, seed: int
) -> Lessons:
    """All that can be learnt from examples, of which those with a target in `idle` are rests, and from held rests."""
    rng, recorded = np.random.default_rng(seed), np.isin(examples.targets, list(idle))
    rests = joined([examples.where(recorded), held], examples.windows.shape[1])
    acting = examples.where(~recorded & np.isin(examples.recorders, rests.recorders))
    groups, rows = (examples, acting, held), []
    taught = sum(len(group.targets) for group in groups)
    room = BYTES // (taught * examples.windows.shape[1] * size(options) * 4)
    for number in range(max(1, min(room, int(np.clip(WINDOWS // len(examples.targets), *ROUNDS))))):
        pieces = _round(groups, rests, options, labels, rng if number else None)
        rows.append([np.concatenate(columns) for columns in zip(*pieces, strict=True)])
    seen, targets = (np.stack(columns) for columns in zip(*rows, strict=True))
    parts = np.split(targets[0], np.cumsum([len(group.targets) for group in groups])[:-1])
    shares = np.concatenate([share * _evened(part) for share, part in zip(SHARES, parts, strict=True)])
    return Lessons(seen, targets, shares / shares.sum(), np.concatenate([group.sequences for group in groups]))


def _round(
    groups: tuple[Examples, Examples, Examples],
    rests: Examples,
    options: Features,
    labels: int,
    rng: Random,
) -> Iterator[Piece]:
    """Features and targets of examples, of actions at the edge of a rest, and of held rests; rng None: as they are."""
    one_hot = np.eye(labels, dtype=np.float32)
    for group, changed in zip(groups, (_performed, _edged, _same), strict=True):
        for part in _chunks(group):
            windows, targets = changed(part, rests, one_hot, rng)
            yield features(augment.film(windows, rng) if rng else windows, options), targets


def _performed(part: Examples, _rests: Examples, one_hot: NDArray[np.float32], rng: Random) -> Piece:
    return (augment.perform(part.windows, rng) if rng else part.windows), one_hot[part.targets]


def _edged(part: Examples, rests: Examples, one_hot: NDArray[np.float32], rng: Random) -> Piece:
    """Each example at the edge of one of its recorder's rests."""
    rng = rng or np.random.default_rng(0)
    beside = np.array([rng.choice(np.flatnonzero(rests.recorders == recorder)) for recorder in part.recorders])
    windows, shares = edges(augment.perform(part.windows, rng), rests.windows[beside], rng)
    return windows, shares[:, None] * one_hot[part.targets] + (1 - shares[:, None]) * one_hot[rests.targets[beside]]


def _same(part: Examples, _rests: Examples, one_hot: NDArray[np.float32], _rng: Random) -> Piece:
    return part.windows, one_hot[part.targets]


def _chunks(examples: Examples) -> Iterator[Examples]:
    for first in range(0, len(examples.targets), CHUNK):
        yield Examples._make(column[first : first + CHUNK] for column in examples)


def _evened(targets: NDArray[np.float32]) -> NDArray[np.float64]:
    """Shares of lessons (n, labels) by which every label is as frequent; their sum is 1, or 0 of none."""
    there = targets.sum(axis=0)
    shares = (targets / np.maximum(there, 1e-9)).sum(axis=1).astype(float)
    return shares / max(shares.sum(), 1e-9)
