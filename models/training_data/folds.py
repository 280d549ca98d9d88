"""Who recorded what, or its labels, in; the parts that are each judged once by a model that never saw them, out.

A fold is a mask, bool (n,), of the sequences to judge; all others train. Every sequence is in one fold exactly.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.errors import UserError

Fold = NDArray[np.bool_]


def by_recorder(recorders: ArrayLike, folds: int, seed: int) -> list[Fold]:
    """Folds of whole recorders, with about as many sequences each; raises UserError where there are too few."""
    names, whose, counts = np.unique(np.asarray(recorders), return_inverse=True, return_counts=True)
    _check(folds, len(names), "recorders")
    order = np.random.default_rng(seed).permutation(len(names))
    home, sizes = np.empty(len(names), int), np.zeros(folds, int)
    for recorder in order[np.argsort(-counts[order], kind="stable")]:  # the largest first, so that the rest evens out
        home[recorder] = sizes.argmin()
        sizes[home[recorder]] += counts[recorder]
    return _masks(home[whose], folds)


def stratified(labels: ArrayLike, folds: int, seed: int) -> list[Fold]:
    """Folds with the same share of each label, every one that has as many sequences in all of them.

    Raises UserError where there are fewer sequences than folds.
    """
    targets = np.unique(np.asarray(labels), return_inverse=True)[1]
    _check(folds, len(targets), "sequences")
    shuffled = np.random.default_rng(seed).permutation(len(targets))
    home = np.empty(len(targets), int)
    home[shuffled[np.argsort(targets[shuffled], kind="stable")]] = np.arange(len(targets)) % folds  # dealt like cards
    return _masks(home, folds)


def leave_one_out(recorders: ArrayLike) -> dict[str, Fold]:
    """A fold for each recorder, by name; raises UserError for a single one."""
    whose = np.asarray(recorders)
    names = np.unique(whose)
    _check(2, len(names), "recorders")
    return {str(name): whose == name for name in names}


def _masks(home: NDArray[np.int_], folds: int) -> list[Fold]:
    return [home == fold for fold in range(folds)]


def _check(folds: int, there: int, what: str) -> None:
    if not 2 <= folds <= there:
        raise UserError(f"{there} {what} cannot make {folds} folds: choose --folds from 2 to the number of {what}.")
