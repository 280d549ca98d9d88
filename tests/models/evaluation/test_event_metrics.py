"""Detected actions, scored against the ground truth."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.event_metrics import Latency, edit_score, f1, iou, match, score_events
from models.simulation.spans import Detection, Span

GROUND_TRUTH = [Span("nod", 1, 3), Span("wave", 5, 7), Span("nod", 9, 11)]


def detections(*spans: Span) -> list[Detection]:
    return [Detection(span, span.start_s + 0.5) for span in spans]


def test_exact_detections_are_perfect():
    scores = score_events(detections(*GROUND_TRUTH), GROUND_TRUTH, seconds=60)
    assert set(scores.f1.values()) == {1.0} and scores.edit_score == 1.0 and scores.false_positives_per_minute == 0
    assert scores.start_latency == Latency(p50=0.5, p95=0.5) and scores.end_latency == Latency(p50=-1.5, p95=-1.5)


def test_each_iou_threshold_has_a_score():
    scores = score_events(detections(Span("nod", 2.4, 4.4)), GROUND_TRUTH[:1], seconds=60)  # 0.6 of 3.4 s
    assert scores.f1 == {"0.1": 1.0, "0.25": 0.0, "0.5": 0.0}
    assert scores.detected == 1 and scores.false_positives_per_minute == 0


def test_another_label_another_time_and_a_second_report_are_false_positives():
    detected = detections(Span("wave", 1, 3), Span("nod", 20, 22), Span("nod", 9, 10), Span("nod", 10, 11))
    scores = score_events(detected, GROUND_TRUTH, seconds=120)
    assert scores.detected == 1 and scores.false_positives_per_minute == 1.5


def test_nothing_to_detect_and_nothing_detected():
    assert score_events([], [], 0).f1["0.5"] == 1.0
    none_detected = score_events([], GROUND_TRUTH, 60)
    assert (none_detected.f1["0.1"], none_detected.edit_score, none_detected.start_latency) == (0.0, 0.0, None)


def test_the_span_with_the_higher_iou_is_matched():
    assert match([Span("nod", 2, 4)], [Span("nod", 1, 3), Span("nod", 2, 4)], 0.1) == [1]
    assert iou(Span("a", 1, 1), Span("a", 1, 1)) == 0


SPANS = st.lists(
    st.builds(
        lambda label, start, length: Span(label, start, start + length),
        st.sampled_from("ab"),
        st.floats(0, 20),
        st.floats(0.1, 5),
    ),
    max_size=8,
)


@given(SPANS, SPANS)
def test_nothing_is_matched_twice(detected: list[Span], ground_truth: list[Span]):
    places = [place for place in match(detected, ground_truth, 0.25) if place is not None]
    assert len(places) == len(set(places))
    assert 0 <= f1(detected, ground_truth, 0.25)[0] <= 1
    assert f1(ground_truth, ground_truth, 0.5)[0] == 1


@given(st.text("abc", max_size=9), st.text("abc", max_size=9))
def test_the_edit_score_is_levenshteins(one: str, other: str):
    def distance(a: str, b: str) -> int:
        if not a or not b:
            return len(a) + len(b)
        row = list(range(len(b) + 1))
        for i, letter in enumerate(a, start=1):
            before, row[0] = row[0], i
            for j, with_letter in enumerate(b, start=1):
                before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (letter != with_letter))
        return row[-1]

    longer = max(len(one), len(other)) or 1
    assert edit_score(one, other) == pytest.approx(1 - distance(one, other) / longer)
