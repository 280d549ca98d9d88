"""What a model learns from: how often each label is seen, what is augmented, and what is left out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.keypoints.features import BODY, RAW, features
from common.keypoints.landmarks import SLICES
from models.training_data.training_set import Lessons, plain, varied
from models.training_data.windows import Examples, joined
from tests.models.people import LABELS, person

LENGTH = 6
ONE = np.zeros(99, int)  # every sequence is in the same part


def examples(labels: "list[int]", recorder: str = "anna", first: int = 0) -> Examples:
    """A window of each label, by number; each is a sequence of its own."""
    windows = [person([LABELS[label]] * LENGTH, seed) for seed, label in enumerate(labels)]
    n = len(labels)
    shape = np.reshape(windows, (n, LENGTH, -1)) if n else np.zeros((0, LENGTH, 1662), np.float32)
    return Examples(shape, np.array(labels, int), np.full(n, recorder, "<U9"), np.arange(first, first + n))


def seen(lessons: Lessons, rows: slice) -> np.ndarray:
    """How often each label is seen in these lessons."""
    return (lessons.targets[0, rows] * lessons.shares[rows, None]).sum(axis=0)


def test_plain_lessons_are_the_features_of_the_windows():
    part = examples([1, 2, 1])
    lessons = plain(part, RAW, len(LABELS))
    assert np.array_equal(lessons.features, part.windows[None])
    assert lessons.targets[0].argmax(axis=1).tolist() == [1, 2, 1]
    assert lessons.shares == pytest.approx([0.25, 0.5, 0.25])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(0, 5))
@settings(max_examples=12)
def test_every_label_is_seen_as_often_as_the_others_of_its_group(labels: list[int], rests: int):
    shown, held = examples(labels), examples([0] * rests, first=len(labels))
    lessons = varied(shown, held, [0], ONE, RAW, len(LABELS), seed=0)
    assert lessons.shares.sum() == pytest.approx(1) and (lessons.shares >= 0).all()
    assert np.isfinite(lessons.features).all()
    assert lessons.targets.sum(axis=2) == pytest.approx(1, abs=1e-5)
    often = seen(lessons, slice(len(labels)))
    there = sorted(set(labels))
    assert often[there] == pytest.approx(often.sum() / len(there))
    assert not np.delete(often, there).any()
    assert len(lessons.sequences) == lessons.features.shape[1] == lessons.targets.shape[1] == len(lessons.shares)


def test_the_first_round_is_not_augmented_and_the_others_are():
    shown, held = examples([0, 1, 2, 3]), examples([0], first=4)
    lessons = varied(shown, held, [0], ONE, BODY, len(LABELS), seed=0)
    rounds = len(lessons.features)
    assert rounds > 1
    assert np.array_equal(lessons.features[0, :4], features(shown.windows, BODY))
    assert np.array_equal(lessons.features[0, -1:], features(held.windows, BODY))
    for number in range(1, rounds):
        assert not np.isclose(lessons.features[number], lessons.features[0]).all(axis=(1, 2)).any()
    again, other = (varied(shown, held, [0], ONE, BODY, len(LABELS), seed=seed) for seed in (0, 1))
    assert np.array_equal(lessons.features, again.features) and np.array_equal(lessons.targets, again.targets)
    assert np.array_equal(lessons.features[0, :4], other.features[0, :4])
    assert not np.array_equal(lessons.features[1], other.features[1])


def test_an_action_is_shown_at_the_edge_of_its_own_recorders_rest_alone():
    anna, bert = examples([1, 2]), examples([3], recorder="bert", first=2)
    lessons = varied(joined([anna, bert], LENGTH), examples([0], first=3), [0], ONE, RAW, len(LABELS), seed=0)
    assert lessons.sequences.tolist() == [0, 1, 2, 0, 1, 3], "bert rests nowhere"
    at_edges = lessons.targets[:, 3:5]
    assert not at_edges[..., 3].any() and (at_edges[..., 0] > 0).any() and (at_edges[:, 0, 1] > 0).any()


def test_without_any_rest_there_are_only_the_examples():
    lessons = varied(examples([1, 2, 2]), examples([]), [], ONE, RAW, len(LABELS), seed=0)
    assert lessons.sequences.tolist() == [0, 1, 2]
    assert lessons.shares == pytest.approx([0.5, 0.25, 0.25])


def test_lessons_without_a_part_are_whole_lessons():
    lessons = varied(examples([0, 1, 2, 3]), examples([]), [0], ONE, RAW, len(LABELS), seed=0)
    some = lessons.without(np.array([False, True, False, False]))
    assert set(some.sequences) == {0, 2, 3} and some.shares.sum() == pytest.approx(1)
    kept = lessons.sequences != 1
    assert np.array_equal(some.features, lessons.features[:, kept])
    assert some.shares / some.shares[0] == pytest.approx(lessons.shares[kept] / lessons.shares[0])


def test_an_action_stands_beside_another_rest_in_each_round_and_none_of_another_part():
    shown = examples([0, 0, 0, 1, 2, 3])
    for number in range(3):  # each rest has a hand of another order of magnitude
        shown.windows[number, :, SLICES["left_hand"]] = 10.0 ** (3 * number + 3)
    shown.windows[3:, :, SLICES["left_hand"]] = 0
    parts = np.array([0, 0, 1, 0, 1, 2])
    lessons = varied(shown, examples([]), [0], parts, RAW, len(LABELS), seed=0)
    assert lessons.sequences.tolist() == [0, 1, 2, 3, 4, 5, 3, 4], "part 2 has no rest"
    largest = np.abs(lessons.features[:, 6:, :, SLICES["left_hand"]]).max(axis=(2, 3)).T
    rests = [{round(np.log10(value) / 3 - 1) for value in row if value > 100} for row in largest]
    assert rests == [{0, 1}, {2}]
