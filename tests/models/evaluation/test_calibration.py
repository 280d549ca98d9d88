"""Temperature and decision parameters, fitted to predictions for data that the model was not trained on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.recognition.classifier import temperature_scale
from common.recognition.decision import Parameters
from models.evaluation import metrics
from models.evaluation.calibration import (
    GRID,
    TEMPERATURES,
    error_prior,
    fit_decision,
    fit_temperature,
    objective,
    stream_metrics,
)
from models.simulation.pipeline import FramePrediction, SimulatedStream
from models.simulation.spans import Span

PERIOD_S = 0.04


def objective_of(stream: SimulatedStream, parameters: Parameters) -> float:
    """Return segmental F1, less the cost of false positives."""
    return objective(*stream_metrics([stream], ["idle"], parameters))


def predictions(seed: int, rows: int = 4000, labels: int = 4) -> "tuple[np.ndarray, np.ndarray]":
    """Return calibrated probabilities, and targets drawn by them."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(labels, 0.5), rows).astype(np.float32)
    targets = (probabilities.cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1)
    return probabilities, np.minimum(targets, labels - 1)


@given(seed=st.integers(0, 999), true=st.floats(0.4, 3.0))
@settings(max_examples=10)
def test_the_temperature_of_the_rows_is_found(seed: int, true: float):
    calibrated, targets = predictions(seed)
    predicted = temperature_scale(calibrated, 1 / true)  # overconfident, or underconfident
    found = fit_temperature(predicted, targets, prior=0)
    assert true / 1.2 < found < true * 1.2
    assert metrics.loss(temperature_scale(predicted, found), targets) <= metrics.loss(predicted, targets) + 1e-6


@pytest.mark.parametrize("rows", [5, 50])
def test_a_model_without_errors_does_not_become_certain(rows: int):
    right = np.tile(np.array([[0.9, 0.1]], np.float32), (rows, 1))
    confidence = temperature_scale(right, fit_temperature(right, np.zeros(rows, int), error_prior(rows, None)))[0, 0]
    assert 1 - 3 / (rows + 1) < confidence < 1 - 0.3 / (rows + 1)


@pytest.mark.parametrize("subjects", [2, 20])
def test_confidence_is_lower_after_two_subjects_than_after_twenty(subjects: int):
    right = np.tile(np.array([[0.9, 0.1]], np.float32), (100, 1))
    confidence = temperature_scale(right, fit_temperature(right, np.zeros(100, int), error_prior(100, subjects)))[0, 0]
    assert confidence == pytest.approx(1 - 1 / (2 * subjects + 1), abs=0.01)


@given(seed=st.integers(0, 999))
@settings(max_examples=5)
def test_a_temperature_changes_confidence_and_no_prediction(seed: int):
    rows, _ = predictions(seed, 50)
    for one in TEMPERATURES[::20]:
        changed = temperature_scale(rows, float(one))
        assert changed.sum(axis=1) == pytest.approx(1, abs=1e-5)
        kept = np.take_along_axis(changed, rows.argmax(axis=1)[:, None], axis=1)[:, 0]
        assert kept == pytest.approx(changed.max(axis=1))
        assert (kept <= rows.max(axis=1) + 1e-5).all() if one > 1 else (kept >= rows.max(axis=1) - 1e-5).all()


@st.composite
def streams(draw: st.DrawFn) -> SimulatedStream:
    """A stream of actions with idleness between them, and noisy predictions."""
    parts = draw(st.lists(st.tuples(st.sampled_from(["nod", "wave"]), st.integers(10, 40)), min_size=1, max_size=5))
    noise, rng = draw(st.floats(0, 0.5)), np.random.default_rng(draw(st.integers(0, 999)))
    spans, frames = list[Span](), ["idle"] * 30
    for label, length in parts:
        spans.append(Span(label, len(frames) * PERIOD_S, (len(frames) + length) * PERIOD_S))
        frames += [label] * length + ["idle"] * 30
    labels = ["idle", "nod", "wave"]
    rows = (1 - noise) * np.eye(3)[[labels.index(label) for label in frames]] + noise * rng.dirichlet(
        np.ones(3), len(frames)
    )
    times = np.arange(len(frames)) * PERIOD_S
    return SimulatedStream(
        spans,
        [
            FramePrediction(at, at, dict(zip(labels, row, strict=True)))
            for at, row in zip(times.tolist(), rows.tolist(), strict=True)
        ],
    )


@given(stream=streams())
@settings(max_examples=6)
def test_the_decision_is_one_of_the_grid_and_no_worse_than_the_defaults(stream: SimulatedStream):
    chosen = fit_decision([stream], ["idle"])
    assert chosen.start_threshold in GRID["start_threshold"] and chosen.end_threshold <= chosen.start_threshold
    assert (chosen.smoothing_s in GRID["smoothing_s"]) and chosen.min_duration_s in GRID["min_duration_s"]
    assert objective_of(stream, chosen) >= objective_of(stream, Parameters()) - 1e-9
    assert fit_decision([stream, stream], ["idle"]) == chosen, "two equal streams count as one"


def test_a_model_of_low_confidence_gets_low_thresholds():
    """Its best guess is right, at 0.45 for an action and 0.3 elsewhere: the defaults detect nothing."""
    labels = ["idle", "nod", "wave"]
    frames = (["idle"] * 30 + ["nod"] * 30 + ["idle"] * 30 + ["wave"] * 30) * 2
    rows = {"idle": (0.4, 0.3, 0.3), "nod": (0.35, 0.45, 0.2), "wave": (0.35, 0.2, 0.45)}
    frame_predictions = [
        FramePrediction(PERIOD_S * at, PERIOD_S * at, dict(zip(labels, rows[label], strict=True)))
        for at, label in enumerate(frames)
    ]
    ground_truth = [
        Span(frames[at], PERIOD_S * at, PERIOD_S * (at + 30)) for at in range(0, len(frames), 30) if at // 30 % 2
    ]
    stream = SimulatedStream(ground_truth, frame_predictions)
    chosen = fit_decision([stream], ["idle"])
    assert objective_of(stream, Parameters()) == 0
    assert objective_of(stream, chosen) > 0
    assert chosen.start_threshold < 0.55


@pytest.mark.parametrize("probabilities", [{}, {"idle": 1.0, "nod": 0.0}])
def test_a_stream_without_predictions_gets_a_decision_too(probabilities: dict[str, float]):
    frame_predictions = [FramePrediction(PERIOD_S * at, PERIOD_S * at, probabilities) for at in range(50)]
    for ground_truth in ([], [Span("nod", 0.5, 1.0)]):
        stream = SimulatedStream(ground_truth, frame_predictions)
        chosen = fit_decision([stream], ["idle"])
        assert chosen.start_threshold in GRID["start_threshold"]
        assert objective_of(stream, chosen) == (0 if ground_truth else 1)


@given(st.integers(2, 6).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), max_size=n - 1))))
@settings(max_examples=30)
def test_masking_labels_keeps_the_ratios_of_the_others(drawn: "tuple[int, set[int]]"):
    labels, idle = drawn
    rows = np.random.default_rng(labels).dirichlet(np.ones(labels), 20)
    before = rows.copy()
    masked = metrics.mask_labels(rows, list(idle))
    assert np.array_equal(rows, before)
    assert not masked[:, list(idle)].any() and masked.sum(axis=1) == pytest.approx(1)
    actions = [label for label in range(labels) if label not in idle]
    assert masked[:, actions] / masked[:, actions[:1]] == pytest.approx(rows[:, actions] / rows[:, actions[:1]])


def test_masking_the_only_predicted_label_stays_finite():
    assert np.isfinite(metrics.mask_labels(np.array([[1.0, 0.0, 0.0]]), [0])).all()
    assert metrics.mask_labels(np.array([[0.2, 0.8]]), []) == pytest.approx(np.array([[0.2, 0.8]]))
