"""Metrics of a classifier, compared with scikit-learn's; calibration by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from models.evaluation import metrics
from models.evaluation.metrics import score


@st.composite
def predictions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities without ties, and targets."""
    rows, labels, seed = draw(st.integers(1, 40)), draw(st.integers(2, 6)), draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(labels), rows), rng.integers(0, labels, rows)


@given(predictions())
def test_metrics_equal_scikit_learns(pair: tuple[np.ndarray, np.ndarray]):
    probabilities, targets = pair
    labels = list(range(probabilities.shape[1]))
    scores = score(probabilities, targets, ["anna"] * len(targets), [str(label) for label in labels])
    predicted = probabilities.argmax(axis=1)
    assert scores.accuracy == pytest.approx(reference.accuracy_score(targets, predicted))
    assert scores.loss == pytest.approx(reference.log_loss(targets, probabilities, labels=labels))
    assert np.array_equal(scores.confusion, reference.confusion_matrix(targets, predicted, labels=labels))
    theirs = reference.precision_recall_fscore_support(targets, predicted, labels=labels, zero_division=0)
    ours = [[one.precision or 0, one.recall or 0, one.f1 or 0, one.tp + one.fn] for one in scores.classes.values()]
    assert np.transpose(ours) == pytest.approx(np.array(theirs))
    assert all(one.tp + one.fp + one.tn + one.fn == len(targets) for one in scores.classes.values())
    for k, value in scores.top_k_accuracy.items():
        expected = (
            reference.top_k_accuracy_score(targets, probabilities, k=int(k), labels=labels) if len(labels) > 2 else 1
        )
        assert value == pytest.approx(expected)


@given(predictions())
def test_each_prediction_is_in_one_bin(pair: tuple[np.ndarray, np.ndarray]):
    table = metrics.reliability(*pair)
    assert sum(row.count for row in table) == len(pair[1])
    assert all(row.low - 1e-9 <= row.confidence <= row.high + 1e-9 for row in table if row.confidence is not None)
    assert 0 <= metrics.calibration_error(table) <= 1


def test_calibration_error_is_the_distance_of_confidence_and_accuracy():
    probabilities = np.tile([0.8, 0.2], (10, 1))
    calibrated = np.array([0] * 8 + [1] * 2)
    assert metrics.calibration_error(metrics.reliability(probabilities, calibrated)) == pytest.approx(0)
    assert metrics.calibration_error(metrics.reliability(probabilities, np.ones(10, int))) == pytest.approx(0.8)
    assert metrics.reliability(np.array([[1.0, 0.0]]), np.array([0]))[-1].count == 1


def test_accuracy_by_subject_is_increasing():
    correct, subjects = np.array([True, True, True, False, False, True]), ["a", "a", "b", "b", "c", "a"]
    accuracies = metrics.subject_accuracies(correct, subjects)
    assert list(accuracies.items()) == [("c", 0.0), ("b", 0.5), ("a", 1.0)]
    assert metrics.spread(accuracies) == metrics.Spread(min=0.0, median=0.5, max=1.0)


def test_an_absent_label_has_no_score_and_a_confident_error_a_finite_loss():
    scores = score(np.array([[0.0, 1.0, 0.0]]), np.array([0]), ["a"], ["x", "y", "z"])
    assert scores.classes["z"] == metrics.OneVsRest(tp=0, fp=0, tn=1, fn=0, precision=None, recall=None, f1=None)
    assert scores.classes["x"].precision is None and scores.classes["x"].recall == 0
    assert scores.loss == pytest.approx(-np.log(metrics.EPS))
    assert scores.macro_f1 == 0
