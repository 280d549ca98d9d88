"""The training set: sample weights, augmented copies, transitions, and folds that are left out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.keypoints.features import BODY, RAW, features
from common.keypoints.landmarks import SLICES
from models.training_data.training_set import TrainingSet, augmented, from_windows
from models.training_data.windows import WindowSet, concatenate
from tests.models.people import LABELS, person

LENGTH = 6
ONE = np.zeros(99, int)  # every sequence is in the same fold


def windows_of(labels: "list[int]", subject: str = "anna", first: int = 0) -> WindowSet:
    """One window of each label, each from a sequence of its own."""
    windows = [person([LABELS[label]] * LENGTH, seed) for seed, label in enumerate(labels)]
    n = len(labels)
    shape = np.reshape(windows, (n, LENGTH, -1)) if n else np.zeros((0, LENGTH, 1662), np.float32)
    return WindowSet(shape, np.array(labels, int), np.full(n, subject, "<U9"), np.arange(first, first + n))


def frequency(training_set: TrainingSet, rows: slice) -> np.ndarray:
    """Return how often each label is drawn from these rows."""
    return (training_set.targets[0, rows] * training_set.sample_weight[rows, None]).sum(axis=0)


def test_from_windows_gives_the_features_of_the_windows():
    part = windows_of([1, 2, 1])
    training_set = from_windows(part, RAW, len(LABELS))
    assert np.array_equal(training_set.features, part.windows[None])
    assert training_set.targets[0].argmax(axis=1).tolist() == [1, 2, 1]
    assert training_set.sample_weight == pytest.approx([0.25, 0.5, 0.25])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(0, 5))
@settings(max_examples=12)
def test_labels_are_balanced_within_each_group(labels: list[int], idle: int):
    shown, synthetic = windows_of(labels), windows_of([0] * idle, first=len(labels))
    training_set = augmented(shown, synthetic, [0], ONE, RAW, len(LABELS), seed=0)
    assert training_set.sample_weight.sum() == pytest.approx(1) and (training_set.sample_weight >= 0).all()
    assert np.isfinite(training_set.features).all()
    assert training_set.targets.sum(axis=2) == pytest.approx(1, abs=1e-5)
    often = frequency(training_set, slice(len(labels)))
    there = sorted(set(labels))
    assert often[there] == pytest.approx(often.sum() / len(there))
    assert not np.delete(often, there).any()
    assert (
        len(training_set.sequences)
        == training_set.features.shape[1]
        == training_set.targets.shape[1]
        == len(training_set.sample_weight)
    )


def test_the_first_copy_is_not_augmented_and_the_others_are():
    shown, synthetic = windows_of([0, 1, 2, 3]), windows_of([0], first=4)
    training_set = augmented(shown, synthetic, [0], ONE, BODY, len(LABELS), seed=0)
    copies = len(training_set.features)
    assert copies > 1
    assert np.array_equal(training_set.features[0, :4], features(shown.windows, BODY))
    assert np.array_equal(training_set.features[0, -1:], features(synthetic.windows, BODY))
    for number in range(1, copies):
        assert not np.isclose(training_set.features[number], training_set.features[0]).all(axis=(1, 2)).any()
    again, other = (augmented(shown, synthetic, [0], ONE, BODY, len(LABELS), seed=seed) for seed in (0, 1))
    assert np.array_equal(training_set.features, again.features) and np.array_equal(training_set.targets, again.targets)
    assert np.array_equal(training_set.features[0, :4], other.features[0, :4])
    assert not np.array_equal(training_set.features[1], other.features[1])


def test_transitions_join_an_action_to_idle_windows_of_its_own_subject():
    anna, bert = windows_of([1, 2]), windows_of([3], subject="bert", first=2)
    training_set = augmented(
        concatenate([anna, bert], LENGTH), windows_of([0], first=3), [0], ONE, RAW, len(LABELS), seed=0
    )
    assert training_set.sequences.tolist() == [0, 1, 2, 0, 1, 3], "bert has no idle window"
    transitions = training_set.targets[:, 3:5]
    assert not transitions[..., 3].any() and (transitions[..., 0] > 0).any() and (transitions[:, 0, 1] > 0).any()


def test_without_idle_windows_there_are_no_transitions():
    training_set = augmented(windows_of([1, 2, 2]), windows_of([]), [], ONE, RAW, len(LABELS), seed=0)
    assert training_set.sequences.tolist() == [0, 1, 2]
    assert training_set.sample_weight == pytest.approx([0.5, 0.25, 0.25])


def test_a_split_keeps_the_weights_of_other_folds_and_the_originals_of_its_fold():
    windows = windows_of([0, 1, 2, 3])
    training_set = augmented(windows, windows_of([]), [0], ONE, RAW, len(LABELS), seed=0)
    some, fold = training_set.split(np.array([False, True, False, False]))
    assert np.array_equal(fold.features, windows.windows[None, 1:2]) and fold.sequences.tolist() == [1]
    assert fold.targets[0].argmax(axis=1).tolist() == [1] and fold.sample_weight.tolist() == [1]
    assert set(some.sequences) == {0, 2, 3} and some.sample_weight.sum() == pytest.approx(1)
    kept = training_set.sequences != 1
    assert np.array_equal(some.features, training_set.features[:, kept])
    assert some.sample_weight / some.sample_weight[0] == pytest.approx(
        training_set.sample_weight[kept] / training_set.sample_weight[0]
    )


def test_each_copy_joins_an_action_to_another_idle_window_of_its_fold():
    shown = windows_of([0, 0, 0, 1, 2, 3])
    for number in range(3):  # each idle window has a hand of another order of magnitude
        shown.windows[number, :, SLICES["left_hand"]] = 10.0 ** (3 * number + 3)
    shown.windows[3:, :, SLICES["left_hand"]] = 0
    fold_of = np.array([0, 0, 1, 0, 1, 2])
    training_set = augmented(shown, windows_of([]), [0], fold_of, RAW, len(LABELS), seed=0)
    assert training_set.sequences.tolist() == [0, 1, 2, 3, 4, 5, 3, 4], "fold 2 has no idle window"
    largest = np.abs(training_set.features[:, 6:, :, SLICES["left_hand"]]).max(axis=(2, 3)).T
    idle = [{round(np.log10(value) / 3 - 1) for value in row if value > 100} for row in largest]
    assert idle == [{0, 1}, {2}]
