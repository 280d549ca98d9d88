"""Folds: every sequence is held out once, and grouped folds share no subject."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from models.training_data.folds import group_folds, leave_one_subject_out, stratified_folds

NAMES = st.lists(st.sampled_from("abcdefgh"), min_size=4, max_size=60)


@given(NAMES, st.integers(2, 5), st.integers(0, 100))
def test_no_subject_is_on_both_sides(subjects: list[str], folds: int, seed: int):
    if len(set(subjects)) < folds:
        with pytest.raises(UserError, match=f"cannot make {folds} folds"):
            group_folds(subjects, folds, seed)
        return
    masks, whose = group_folds(subjects, folds, seed), np.array(subjects)
    assert np.array_equal(np.sum(masks, axis=0), np.ones(len(subjects)))
    assert all(mask.any() and not set(whose[mask]) & set(whose[~mask]) for mask in masks)
    assert all(np.array_equal(one, other) for one, other in zip(masks, group_folds(subjects, folds, seed), strict=True))


def test_subjects_are_spread_by_how_much_they_recorded():
    masks = group_folds(["a"] * 30 + ["b"] * 10 + ["c"] * 10 + ["d"] * 10, 2, seed=0)
    assert [mask.sum() for mask in masks] == [30, 30]
    others = [f"r{number}" for number in range(24)]
    assert not np.array_equal(group_folds(others, 3, seed=0), group_folds(others, 3, seed=1))


@given(NAMES, st.integers(2, 5), st.integers(0, 100))
def test_every_label_is_in_each_fold_where_it_can_be(labels: list[str], folds: int, seed: int):
    if len(labels) < folds:
        return
    masks, named = stratified_folds(labels, folds, seed), np.array(labels)
    assert np.array_equal(np.sum(masks, axis=0), np.ones(len(labels)))
    for label in set(labels):
        counts = [(named[mask] == label).sum() for mask in masks]
        assert max(counts) - min(counts) <= 1
    sizes = [mask.sum() for mask in masks]
    assert max(sizes) - min(sizes) <= 1


def test_one_subject_is_left_out_at_a_time():
    masks = leave_one_subject_out(["b", "a", "b"])
    assert {name: mask.tolist() for name, mask in masks.items()} == {
        "a": [False, True, False],
        "b": [True, False, True],
    }
    with pytest.raises(UserError, match="1 subjects cannot make 2 folds"):
        leave_one_subject_out(["a", "a"])
    with pytest.raises(UserError, match="cannot make 1 folds"):
        stratified_folds(["a", "b"], 1, seed=0)
