"""Split sequences into folds.

A fold is a mask, bool (n,), of the sequences that are held out; all others train. Each sequence is in exactly one fold.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.errors import UserError
from common.recording.sequence import KeypointSequence

Fold = NDArray[np.bool_]


def make_folds(sequences: Sequence[KeypointSequence], count: int, seed: int) -> list[Fold]:
    """Return at most `count` folds: grouped by subject where that leaves every label to train on, else stratified."""
    subjects, labels = (np.array([getattr(one, field) for one in sequences]) for field in ("subject", "label"))
    if (available := len(set(subjects))) > 1:
        folds = group_folds(subjects, min(count, available), seed)
        if all(set(labels[~fold]) == set(labels) for fold in folds):
            return folds
    return stratified_folds(labels, min(count, min(Counter(labels.tolist()).values())), seed)


def make_test_folds(sequences: Sequence[KeypointSequence], count: int | None, seed: int) -> list[Fold]:
    """Return folds to compare models on: grouped by subject if there are several, else stratified by label.

    A count of None makes one fold of each subject. Raises UserError where there are too few subjects or sequences, or
    where a label has too few sequences left to train on.
    """
    subjects = [sequence.subject for sequence in sequences]
    if count is None:
        folds = list(leave_one_subject_out(subjects).values())
    elif len(set(subjects)) > 1:
        folds = group_folds(subjects, count, seed)
    else:
        folds = stratified_folds([sequence.label for sequence in sequences], count, seed)
    _check_trainable(sequences, folds)
    return folds


def _check_trainable(sequences: Sequence[KeypointSequence], folds: Sequence[Fold]) -> None:
    for fold in folds:
        left = Counter(sequence.label for sequence in train_test_split(sequences, fold)[0])
        for label in sorted({sequence.label for sequence in sequences}):
            if left[label] < 2:
                raise UserError(
                    f"Too few sequences of {label!r}, {left[label]}, are left to train on when a fold is held out to "
                    "test: record it more often, and by several people where several record."
                )


def group_folds(subjects: ArrayLike, count: int, seed: int) -> list[Fold]:
    """Return folds of whole subjects, of similar size; raises UserError where there are too few subjects."""
    names, whose, counts = np.unique(np.asarray(subjects), return_inverse=True, return_counts=True)
    _check(count, len(names), "subjects")
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of, sizes = np.empty(len(names), int), np.zeros(count, int)
    for subject in order[np.argsort(-counts[order], kind="stable")]:  # the largest first, for similar sizes
        fold_of[subject] = sizes.argmin()
        sizes[fold_of[subject]] += counts[subject]
    return _masks(fold_of[whose], count)


def stratified_folds(labels: ArrayLike, count: int, seed: int) -> list[Fold]:
    """Return folds with the same ratio of labels; raises UserError where there are fewer sequences than folds."""
    targets = np.unique(np.asarray(labels), return_inverse=True)[1]
    _check(count, len(targets), "sequences")
    shuffled = np.random.default_rng(seed).permutation(len(targets))
    fold_of = np.empty(len(targets), int)
    fold_of[shuffled[np.argsort(targets[shuffled], kind="stable")]] = np.arange(len(targets)) % count
    return _masks(fold_of, count)


def leave_one_subject_out(subjects: ArrayLike) -> dict[str, Fold]:
    """Return a fold for each subject, by name; raises UserError for a single one."""
    whose = np.asarray(subjects)
    names = np.unique(whose)
    _check(2, len(names), "subjects")
    return {str(name): whose == name for name in names}


def are_subject_independent(folds: Iterable[Fold], sequences: Sequence[KeypointSequence]) -> bool:
    """Whether nobody is in two of the folds."""
    subjects = np.array([sequence.subject for sequence in sequences])
    return sum(len(set(subjects[fold])) for fold in folds) == len(set(subjects))


def train_test_split(
    sequences: Iterable[KeypointSequence], fold: Fold
) -> tuple[list[KeypointSequence], list[KeypointSequence]]:
    """Return the sequences to train on, and those of the fold."""
    train_test: tuple[list[KeypointSequence], list[KeypointSequence]] = ([], [])
    for sequence, held_out in zip(sequences, fold, strict=True):
        train_test[bool(held_out)].append(sequence)
    return train_test


def _masks(fold_of: NDArray[np.int_], count: int) -> list[Fold]:
    return [fold_of == number for number in range(count)]


def _check(count: int, available: int, what: str) -> None:
    if not 2 <= count <= available:
        raise UserError(
            f"{available} {what} cannot make {count} folds: choose a number of folds from 2 to the number of {what}."
        )
