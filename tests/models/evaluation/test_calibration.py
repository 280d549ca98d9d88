"""How sure to be, and when to say that an action is there, from what was told of data it had not learnt."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.recognition.classifier import tempered
from common.recognition.decision import Parameters
from models.evaluation import metrics
from models.evaluation.calibration import (
    FALSE_COST,
    GRID,
    TEMPERATURES,
    decision,
    quality,
    temperature,
    unseen_wrong,
)
from models.simulation.pipeline import FramePrediction, SimulatedStream
from models.simulation.spans import Span

PERIOD_S = 0.04


def worth(stream: SimulatedStream, parameters: Parameters) -> float:
    """What is to be high: actions found, less what false ones cost."""
    f1, false_per_minute = quality([stream], ["idle"], parameters)
    return f1 - FALSE_COST * false_per_minute


def told(seed: int, rows: int = 4000, labels: int = 4) -> "tuple[np.ndarray, np.ndarray]":
    """Probabilities that mean what they say, and targets drawn by them."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(labels, 0.5), rows).astype(np.float32)
    targets = (probabilities.cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1)
    return probabilities, np.minimum(targets, labels - 1)


@given(seed=st.integers(0, 999), true=st.floats(0.4, 3.0))
@settings(max_examples=10)
def test_the_temperature_that_rows_were_made_with_is_found(seed: int, true: float):
    honest, targets = told(seed)
    overdone = tempered(honest, 1 / true)  # as a model tells them that is too sure, or not sure enough
    found = temperature(overdone, targets, wrong=0)
    assert true / 1.2 < found < true * 1.2
    assert metrics.loss(tempered(overdone, found), targets) <= metrics.loss(overdone, targets) + 1e-6


@pytest.mark.parametrize("rows", [5, 50])
def test_who_was_never_wrong_is_not_sure_of_everything(rows: int):
    right = np.tile(np.array([[0.9, 0.1]], np.float32), (rows, 1))
    sure = tempered(right, temperature(right, np.zeros(rows, int), unseen_wrong(rows, None)))[0, 0]
    assert 1 - 3 / (rows + 1) < sure < 1 - 0.3 / (rows + 1)


@pytest.mark.parametrize("recorders", [2, 20])
def test_two_people_say_less_about_a_third_than_twenty(recorders: int):
    right = np.tile(np.array([[0.9, 0.1]], np.float32), (100, 1))
    sure = tempered(right, temperature(right, np.zeros(100, int), unseen_wrong(100, recorders)))[0, 0]
    assert sure == pytest.approx(1 - 1 / (2 * recorders + 1), abs=0.01)


@given(seed=st.integers(0, 999))
@settings(max_examples=5)
def test_a_temperature_changes_how_sure_it_is_and_not_what_is_told(seed: int):
    rows, _ = told(seed, 50)
    for one in TEMPERATURES[::20]:
        changed = tempered(rows, float(one))
        assert changed.sum(axis=1) == pytest.approx(1, abs=1e-5)
        kept = np.take_along_axis(changed, rows.argmax(axis=1)[:, None], axis=1)[:, 0]
        assert kept == pytest.approx(changed.max(axis=1))
        assert (kept <= rows.max(axis=1) + 1e-5).all() if one > 1 else (kept >= rows.max(axis=1) - 1e-5).all()


@st.composite
def watched(draw: st.DrawFn) -> SimulatedStream:
    """A stream of actions with rests between them, as a model sees it that wavers."""
    parts = draw(st.lists(st.tuples(st.sampled_from(["nod", "wave"]), st.integers(10, 40)), min_size=1, max_size=5))
    waver, rng = draw(st.floats(0, 0.5)), np.random.default_rng(draw(st.integers(0, 999)))
    spans, frames = list[Span](), ["idle"] * 30
    for label, length in parts:
        spans.append(Span(label, len(frames) * PERIOD_S, (len(frames) + length) * PERIOD_S))
        frames += [label] * length + ["idle"] * 30
    labels = ["idle", "nod", "wave"]
    rows = (1 - waver) * np.eye(3)[[labels.index(label) for label in frames]] + waver * rng.dirichlet(
        np.ones(3), len(frames)
    )
    times = np.arange(len(frames)) * PERIOD_S
    return spans, [
        FramePrediction(at, at, dict(zip(labels, row, strict=True)))
        for at, row in zip(times.tolist(), rows.tolist(), strict=True)
    ]


@given(stream=watched())
@settings(max_examples=6)
def test_the_decision_is_one_of_the_grid_and_no_worse_than_the_defaults(stream: SimulatedStream):
    chosen = decision([stream], ["idle"])
    assert chosen.enter in GRID["enter"] and chosen.leave <= chosen.enter
    assert (chosen.smoothing_s in GRID["smoothing_s"]) and chosen.min_duration_s in GRID["min_duration_s"]
    assert worth(stream, chosen) >= worth(stream, Parameters()) - 1e-9
    assert decision([stream, stream], ["idle"]) == chosen, "twice the same says the same"


def test_a_model_that_is_never_sure_gets_a_decision_that_finds_its_actions():
    """Its best guess is right, at 0.45 of an action and 0.3 elsewhere: the defaults find nothing."""
    labels = ["idle", "nod", "wave"]
    frames = (["idle"] * 30 + ["nod"] * 30 + ["idle"] * 30 + ["wave"] * 30) * 2
    rows = {"idle": (0.4, 0.3, 0.3), "nod": (0.35, 0.45, 0.2), "wave": (0.35, 0.2, 0.45)}
    moments = [
        FramePrediction(PERIOD_S * at, PERIOD_S * at, dict(zip(labels, rows[label], strict=True)))
        for at, label in enumerate(frames)
    ]
    true = [Span(frames[at], PERIOD_S * at, PERIOD_S * (at + 30)) for at in range(0, len(frames), 30) if at // 30 % 2]
    chosen = decision([(true, moments)], ["idle"])
    assert worth((true, moments), Parameters()) == 0
    assert worth((true, moments), chosen) > 0
    assert chosen.enter < 0.55


@pytest.mark.parametrize("probabilities", [{}, {"idle": 1.0, "nod": 0.0}])
def test_a_stream_on_which_nothing_can_be_found_has_a_decision_too(probabilities: dict[str, float]):
    moments = [FramePrediction(PERIOD_S * at, PERIOD_S * at, probabilities) for at in range(50)]
    for true in ([], [Span("nod", 0.5, 1.0)]):
        chosen = decision([(true, moments)], ["idle"])
        assert chosen.enter in GRID["enter"]
        assert worth((true, moments), chosen) == (0 if true else 1)


@given(st.integers(2, 6).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), max_size=n - 1))))
@settings(max_examples=30)
def test_without_idle_labels_the_actions_share_all_that_is_told(drawn: "tuple[int, set[int]]"):
    labels, idle = drawn
    rows = np.random.default_rng(labels).dirichlet(np.ones(labels), 20)
    before = rows.copy()
    found = metrics.without(rows, list(idle))
    assert np.array_equal(rows, before)
    assert not found[:, list(idle)].any() and found.sum(axis=1) == pytest.approx(1)
    actions = [label for label in range(labels) if label not in idle]
    assert found[:, actions] / found[:, actions[:1]] == pytest.approx(rows[:, actions] / rows[:, actions[:1]])


def test_without_idle_labels_a_row_that_says_nothing_else_stays_a_number():
    assert np.isfinite(metrics.without(np.array([[1.0, 0.0, 0.0]]), [0])).all()
    assert metrics.without(np.array([[0.2, 0.8]]), []) == pytest.approx(np.array([[0.2, 0.8]]))
