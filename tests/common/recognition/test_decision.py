"""Check properties of the action detector that hold for any sequence, and a few sequences by hand."""

import math
from itertools import pairwise

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from common.labels import split_label
from common.recognition.decision import ActionDetector, Event, Parameters

LABELS = ("hello", "thanks", "rest")
IDLE = frozenset({"rest"})
NO_PERSON: dict[str, float] = {}
EPSILON = 1e-9

units = st.floats(0, 1)
parameters = st.builds(
    Parameters,
    smoothing_s=st.sampled_from([0.0, 0.05, 0.2, 1.0]),
    start_threshold=st.floats(0.05, 1),
    end_threshold=units,
    min_duration_s=st.sampled_from([0.0, 0.1, 0.3, 1.0]),
    refractory_s=st.sampled_from([0.0, 0.2, 0.5, 2.0]),
)


def distribution(weights: tuple[float, float, float]) -> dict[str, float]:
    return {label: weight / sum(weights) for label, weight in zip(LABELS, weights, strict=True)}


probabilities = (
    st.just(NO_PERSON)
    | st.tuples(*[st.floats(0.01, 1)] * 3).map(distribution)
    | st.sampled_from([{label: float(label == confident) for label in LABELS} for confident in LABELS])
)
steps = st.tuples(st.sampled_from([0.001, 0.04, 0.2, 1.0]), probabilities)
# None: the stream is broken here, and its caller flushes.
sequences = st.lists(st.none() | steps, max_size=80)


def decide(detector: ActionDetector, sequence: list[tuple[float, dict[str, float]] | None]) -> list[Event]:
    """All events, with a flush at the end; each `started` carries no end."""
    events, now = [], 0.0
    for step in sequence:
        if step is None:
            events += detector.flush()
        else:
            now += step[0]
            events += detector.update(now, step[1])
    return events + list(detector.flush())


def actions(events: list[Event]) -> list[Event]:
    return [event for event in events if event.event == "ended"]


@given(parameters, sequences)
def test_every_start_has_one_end_and_one_action_is_open_at_a_time(p: Parameters, sequence: list) -> None:
    events = decide(ActionDetector(p, IDLE), sequence)
    assert [event.event for event in events] == ["started", "ended"] * (len(events) // 2)
    for start, end in zip(events[::2], events[1::2], strict=True):
        assert (start.id, start.label, start.start_s) == (end.id, end.label, end.start_s)
        assert start.end_s is None and end.end_s is not None and end.start_s <= end.end_s
        assert (
            p.start_threshold / 2 - EPSILON <= start.confidence <= end.confidence <= 1 + EPSILON
        )  # most of what speaks for it


@given(parameters, sequences, st.integers(1, 1000))
def test_ids_rise_by_one_from_the_first_so_that_no_listener_confuses_two(
    p: Parameters, sequence: list, first: int
) -> None:
    ids = [action.id for action in actions(decide(ActionDetector(p, IDLE, first), sequence))]
    assert ids == list(range(first, first + len(ids)))


@given(parameters, sequences)
def test_idle_labels_are_never_reported(p: Parameters, sequence: list) -> None:
    assert all(event.label not in IDLE for event in decide(ActionDetector(p, IDLE), sequence))


@given(parameters, sequences)
def test_minimum_duration_is_respected(p: Parameters, sequence: list) -> None:
    for action in actions(decide(ActionDetector(p, IDLE), sequence)):
        assert action.end_s is not None
        assert action.end_s - action.start_s >= p.min_duration_s - EPSILON


@given(parameters, st.lists(steps, max_size=80))
def test_refractory_time_is_respected_and_actions_do_not_overlap(p: Parameters, sequence: list) -> None:
    done = actions(decide(ActionDetector(p, IDLE), sequence))
    for before, after in pairwise(done):
        assert before.end_s is not None and before.end_s <= after.start_s
    for label in LABELS:
        for before, after in pairwise([action for action in done if action.label == label]):
            assert before.end_s is not None
            assert after.start_s - before.end_s >= p.refractory_s - EPSILON


@given(parameters, sequences)
def test_an_action_ends_when_no_person_is_present_any_more(p: Parameters, sequence: list) -> None:
    assume(p.end_threshold > 0.01)
    detector = ActionDetector(p, IDLE)
    events, now = [], 0.0
    for step in [s for s in sequence if s] + [(0.04, NO_PERSON)] * 200:
        now += step[0]
        events += detector.update(now, step[1])
    assert len(events) % 2 == 0
    assert not list(detector.flush())


def test_an_empty_prediction_with_an_end_threshold_of_zero_does_not_stop_the_service() -> None:
    detector = ActionDetector(Parameters(smoothing_s=0, end_threshold=0, min_duration_s=0))
    events = list(detector.update(0, {"hello": 1.0}))
    events += detector.update(0.1, NO_PERSON)
    assert [event.event for event in events] == ["started", "ended"]


@given(parameters, sequences)
def test_flush_resets_everything_but_the_next_id(p: Parameters, sequence: list) -> None:
    used, fresh = ActionDetector(p, IDLE), ActionDetector(p, IDLE)
    count = len(actions(decide(used, sequence)))
    again, first = decide(used, sequence), decide(fresh, sequence)
    assert again == [event._replace(id=event.id + count) for event in first]


@given(st.lists(st.tuples(st.sampled_from(LABELS), st.integers(50, 120)), min_size=1, max_size=6), st.data())
def test_at_double_the_frame_rate_the_actions_are_the_same_within_a_frame(
    plateaus: list[tuple[str, int]], data: st.DataObject
) -> None:
    # Each holds 2 s or more, far from every threshold, so that no decision hangs on one frame.
    period_s = 0.04
    found = []
    for double in (1, 2):
        detector, now, events = ActionDetector(Parameters(), IDLE), 0.0, []
        for label, frames in plateaus:
            confident = {other: 0.9 if other == label else 0.05 for other in LABELS}
            for _ in range(frames * double):
                now += period_s / double
                events += detector.update(now, confident)
        found.append(actions(events + list(detector.flush())))
    slow, fast = found
    assert [(a.id, a.label) for a in slow] == [(a.id, a.label) for a in fast]
    for a, b in zip(slow, fast, strict=True):
        assert a.end_s is not None and b.end_s is not None
        assert abs(a.start_s - b.start_s) <= period_s + EPSILON
        assert abs(a.end_s - b.end_s) <= period_s + EPSILON
        assert a.confidence == pytest.approx(b.confidence, abs=1e-6)


def reference(p: Parameters, sequence: list[tuple[float, dict[str, float]] | None]) -> list[Event]:
    """The events of `decide` where every label has one level: without sums, evidence and verdicts."""
    events: list[Event] = []
    number, now, before, smoothed, votes, ended, current = 1, 0.0, None, {}, {}, {}, None

    def end(at_s: float) -> None:
        nonlocal current
        if current and current.event == "started":
            ended[current.label] = at_s
            events.append(current._replace(event="ended", end_s=at_s))
        current = None

    for step in [*sequence, None]:
        if step is None:
            end(now)
            before, smoothed, votes, ended = None, {}, {}, {}
            continue
        now, new = now + step[0], step[1]
        anew = before is None or not smoothed or not p.smoothing_s
        weight = 1.0 if anew else 1 - math.exp((before - now) / p.smoothing_s)
        keys = new if anew else {**smoothed, **new}
        smoothed = {key: (1 - weight) * smoothed.get(key, 0.0) + weight * new.get(key, 0.0) for key in keys}
        vote = dict(new)
        acting = sum(new[key] for key in new if key not in IDLE)
        for key in new:
            if key not in IDLE and 2 * new[key] > acting and IDLE & set(new):
                vote = {other: new[other] if other in IDLE else acting * (other == key) for other in new}
        votes = {key: (1 - weight) * votes.get(key, 0.0) + weight * vote.get(key, 0.0) for key in keys}
        before = now
        best = max(votes, key=votes.__getitem__, default="")
        confident = best not in {"", *IDLE} and votes[best] >= p.start_threshold
        if current and (votes.get(current.label, -1) < p.end_threshold or (confident and best != current.label)):
            end(now)
        if not current and confident and now - ended.get(best, -math.inf) >= p.refractory_s:
            current = Event("candidate", number, best, now, None, 0.0)
        if current:
            current = current._replace(confidence=max(current.confidence, min(1.0, smoothed[current.label])))
            if current.event != "started" and now - current.start_s >= p.min_duration_s:
                current, number = current._replace(event="started"), number + 1
                events.append(current)
    return events


@given(parameters, sequences)
def test_labels_of_one_level_are_decided_as_if_there_were_no_other(p: Parameters, sequence: list) -> None:
    assert decide(ActionDetector(p, IDLE), sequence) == reference(p, sequence)


@given(parameters, sequences)
def test_a_verdict_changes_nothing_but_itself(p: Parameters, sequence: list) -> None:
    """A probability halved between right and wrong is the same probability of the action, to the last bit."""
    halved = [
        step
        and (step[0], {f"{label}/{how}": value / 2 for label, value in step[1].items() for how in ("right", "wrong")})
        for step in sequence
    ]
    events = decide(ActionDetector(p, frozenset({"rest/right", "rest/wrong"})), halved)
    assert [event._replace(verdict=None) for event in events] == decide(ActionDetector(p, IDLE), sequence)
    assert {event.verdict for event in events} <= {"right"}


def verdicts(p: Parameters, rights: list[float], total: float = 0.9) -> list[Event]:
    """Events of a push up that is right with these fractions of its probability, at 25 frames/s, then 1 s of rest."""
    windows = [(total * fraction, total * (1 - fraction)) for fraction in rights] + [(0.0, 0.0)] * 25
    steps = [{"push up/right": r, "push up/wrong": w, "rest": 1 - r - w} for r, w in windows]
    return decide(ActionDetector(p, IDLE), [(0.04, step) for step in steps])


# Below the 0.9 of `verdicts`; the end threshold is not above the start threshold, which is refused.
hysteresis = st.tuples(st.floats(0.06, 0.88), st.floats(0.06, 0.88)).map(sorted)


@given(parameters, hysteresis, st.lists(units, min_size=30, max_size=80))
def test_a_verdict_that_wavers_splits_no_action(p: Parameters, both: list[float], rights: list[float]) -> None:
    end_threshold, start_threshold = both
    events = verdicts(msgspec.structs.replace(p, end_threshold=end_threshold, start_threshold=start_threshold), rights)
    assert [(event.event, event.label, event.start_s) for event in events] == [
        ("started", "push up", 0.04),
        ("ended", "push up", 0.04),
    ]


def test_a_push_up_reaches_the_threshold_though_neither_verdict_does() -> None:
    events = verdicts(PLAIN, [0.5] * 20)
    assert [event.event for event in events] == ["started", "ended"] and events[-1].confidence == pytest.approx(0.9)


def started(now: dict[str, float], idle: frozenset[str] = IDLE) -> list[tuple[str, float]]:
    """The action under way where every window has the same probabilities for a second."""
    events = decide(ActionDetector(PLAIN, idle), [(0.04, now)] * 25)
    return [(event.label, round(event.confidence, 3)) for event in actions(events)]


def test_an_action_is_under_way_though_another_is_like_it():
    assert started({"hello": 0.55, "thanks": 0.44, "rest": 0.01}) == [("hello", 0.55)], (
        "reported, with a low confidence"
    )
    assert started({"hello": 0.30, "thanks": 0.25, "rest": 0.45}) == [], "as likely as not it is a rest"
    assert started({"hello": 0.34, "thanks": 0.33, "sorry": 0.33, "rest": 0.0}) == [], "it may be anything"


def test_without_an_idle_label_an_action_votes_with_its_own_probability_alone():
    assert started({"hello": 0.55, "thanks": 0.45}) == [] and started({"hello": 0.9, "thanks": 0.1}) == [("hello", 0.9)]


def test_the_final_verdict_is_the_mean_over_the_whole_action() -> None:
    events = verdicts(PLAIN, [0.9] * 15 + [0.2] * 30)
    assert [(event.label, event.verdict, event.full_label) for event in events] == [
        ("push up", "right", "push up/right"),
        ("push up", "wrong", "push up/wrong"),
    ]


def test_the_verdict_of_the_next_action_is_independent() -> None:
    right, nothing, wrong = ({"push up/right": r, "push up/wrong": w} for r, w in [(0.9, 0.1), (0.0, 0.0), (0.1, 0.9)])
    steps = [(0.04, step) for step in [right] * 40 + [nothing] * 20 + [wrong] * 20]
    assert [action.verdict for action in actions(decide(ActionDetector(PLAIN), steps))] == ["right", "wrong"]


def test_an_idle_verdict_is_no_part_of_its_action_and_idle_ones_stand_together() -> None:
    detector = ActionDetector(
        Parameters(smoothing_s=0, start_threshold=0.4, end_threshold=0.4, min_duration_s=0, refractory_s=0),
        frozenset({"push up/rest", "stand/left", "stand/right"}),
    )
    lying = {"push up/rest": 0.7, "push up/right": 0.1, "push up/wrong": 0.2}
    standing = {"push up/right": 0.4, "stand/left": 0.3, "stand/right": 0.3}
    moving = {"push up/rest": 0.3, "push up/right": 0.5, "push up/wrong": 0.2}
    assert not decide(detector, [(0.04, lying), (0.04, standing)])
    assert [event.full_label for event in decide(detector, [(0.04, moving)])] == ["push up/right"] * 2


def test_a_sum_above_one_is_reported_as_one() -> None:
    (event,) = ActionDetector(Parameters(min_duration_s=0)).update(0, {"push up/right": 0.9, "push up/wrong": 0.9})
    assert event.confidence == 1


@given(st.text(max_size=20))
def test_a_label_is_its_levels(label: str) -> None:
    action, verdict = split_label(label)
    assert "/" not in action and (verdict is None) == ("/" not in label)
    assert Event("ended", 1, action, 0, 1, 1, verdict).full_label == label


def run(p: Parameters, values: list[float], period_s: float = 0.1) -> list[Event]:
    detector = ActionDetector(p, IDLE)
    events = []
    for i, value in enumerate(values):
        events += detector.update(i * period_s, {"hello": value, "rest": 1 - value})
    return events


PLAIN = Parameters(smoothing_s=0, start_threshold=0.7, end_threshold=0.4, min_duration_s=0.3, refractory_s=0.5)


def test_an_action_starts_at_the_threshold_and_is_not_ended_by_changes_between_the_thresholds() -> None:
    events = run(PLAIN, [0.1, 0.8, 0.5, 0.69, 0.5, 0.45, 0.41, 0.39, 0.1])
    assert [(e.event, round(e.start_s, 6), e.end_s) for e in events] == [
        ("started", 0.1, None),
        ("ended", 0.1, pytest.approx(0.7)),
    ]
    assert events[-1].confidence == 0.8


def test_a_flicker_shorter_than_the_minimum_is_not_reported_and_takes_no_id() -> None:
    events = run(PLAIN, [0.9, 0.9, 0.1, 0.1, 0.9, 0.9, 0.9, 0.9, 0.9])
    assert [(e.event, e.id) for e in events] == [("started", 1)]


def test_a_label_of_higher_confidence_takes_over_at_once() -> None:
    detector = ActionDetector(PLAIN)
    events = []
    for i in range(20):
        hello = 0.9 if i < 10 else 0.1
        events += detector.update(i * 0.1, {"hello": hello, "thanks": 1 - hello})
    assert [(e.event, e.label) for e in events] == [("started", "hello"), ("ended", "hello"), ("started", "thanks")]
    assert events[1].end_s == events[2].start_s


def test_smoothing_is_an_exponential_mean_in_seconds() -> None:
    detector = ActionDetector(Parameters(smoothing_s=0.2))
    list(detector.update(0.0, {"hello": 0.0}))
    list(detector.update(0.1, {"hello": 1.0}))
    assert detector.smoothed["hello"] == pytest.approx(1 - math.exp(-0.5))
    list(detector.update(0.3, NO_PERSON))
    assert detector.smoothed["hello"] == pytest.approx((1 - math.exp(-0.5)) * math.exp(-1))
