"""Check that the test card follows its schedule: in its segments for any seed, and in its pixels for a few."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from common.video import testcard
from common.video.testcard import LABELS, Segment, schedule

seeds = st.integers(0, 2**32)
lengths_s = st.floats(1, 90)


@given(seeds, lengths_s)
def test_schedule_is_contiguous_from_zero_to_the_end_and_begins_with_rest(seed: int, seconds: float) -> None:
    segments = schedule(seed, seconds)
    assert (segments[0].label, segments[0].start_s) == ("rest", 0)
    assert segments[0].end_s >= min(2, seconds)
    assert segments[-1].end_s == seconds
    for before, after in pairwise(segments):
        assert before.end_s == after.start_s
        assert (before.label == "rest") != (after.label == "rest")


@given(seeds, lengths_s, lengths_s)
def test_a_longer_schedule_only_appends(seed: int, seconds: float, more: float) -> None:
    short, long = schedule(seed, seconds), schedule(seed, seconds + more)
    assert short[:-1] == long[: len(short) - 1]
    assert short[-1] == long[len(short) - 1]._replace(end_s=seconds)


@given(seeds)
def test_segments_keep_their_limits_and_actions_come_equally_often(seed: int) -> None:
    whole = schedule(seed, 120)[1:-1]
    limits_s = {"rest": testcard.REST_S}
    for label, start_s, end_s in whole:
        shortest_s, longest_s = limits_s.get(label, testcard.ACTION_S)
        assert shortest_s - 1e-9 <= end_s - start_s <= longest_s + 1e-9
    counts = [sum(segment.label == label for segment in whole) for label in LABELS[1:]]
    assert min(counts) >= 6
    assert max(counts) - min(counts) <= 1


def test_seeds_differ_and_no_time_has_no_segment() -> None:
    assert schedule(0, 60) != schedule(1, 60)
    assert schedule(0, 0) == []


@pytest.mark.parametrize(("width", "height"), [(160, 120), (640, 480), (1280, 720), (161, 333)])
def test_frame_has_the_asked_shape_and_is_not_dark(width: int, height: int) -> None:
    frame = testcard.TestCard(3, width, height).frame(0.5)
    assert frame.shape == (height, width, 3)
    assert frame.dtype == np.uint8
    assert frame[:, : width // 20].mean() > 60  # the backdrop


def test_too_small_a_frame_is_refused_with_its_size() -> None:
    with pytest.raises(ValueError, match="159x120"):
        testcard.TestCard(0, 159, 120)


def test_frame_depends_on_seed_and_time_only() -> None:
    forth, back = testcard.TestCard(5, 320, 240), testcard.TestCard(5, 320, 240)
    times = [0.0, 0.04, 3.5, 20.0, 100.0]
    expected = [forth.frame(t) for t in times]
    for t, frame in reversed(list(zip(times, expected, strict=True))):
        assert np.array_equal(back.frame(t), frame)
    for before, after in pairwise(expected):
        assert not np.array_equal(before, after)
    assert not np.array_equal(testcard.TestCard(6, 320, 240).frame(0), expected[0])


def test_a_frame_is_the_callers_to_draw_on() -> None:
    card = testcard.TestCard(0, 160, 120)
    frame = card.frame(1)
    kept = frame.copy()
    frame[:] = 0
    assert np.array_equal(card.frame(1), kept)


def label_at(card: testcard.TestCard, t: float) -> str:
    """What the head does `t` seconds after the first frame."""
    return card._move_at(t).segment.label


def test_label_at_agrees_with_the_schedule_at_both_ends_of_a_segment() -> None:
    card = testcard.TestCard(7, 160, 120)
    for segment in reversed(schedule(7, 60)):
        assert label_at(card, segment.start_s) == segment.label
        assert label_at(card, float(np.nextafter(segment.end_s, 0))) == segment.label


def frames_of(card: testcard.TestCard, segment: Segment) -> NDArray[np.float32]:
    """float32 (20, height, width): the segment in grey, evenly spaced."""
    times = np.linspace(segment.start_s, segment.end_s, 20, endpoint=False)
    return np.stack([card.frame(float(t)).mean(axis=2, dtype=np.float32) for t in times])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_only_actions_move_the_head_and_nothing_moves_the_shoulders(seed: int) -> None:
    card = testcard.TestCard(seed, 320, 240)
    head, chest = np.s_[:, 50:150, 110:210], np.s_[:, 200:, 80:240]
    at_rest: list[float] = []
    for segment in schedule(seed, 20)[:7]:  # one round
        spread = frames_of(card, segment).std(axis=0, keepdims=True)  # of each pixel over time
        assert spread[chest].mean() < 2, segment  # the sensor noise alone
        moved = float(spread[head].mean())
        if segment.label == "rest":
            at_rest.append(moved)  # it sways a little, and has fine edges
        else:
            assert moved > 1.4 * max(at_rest), segment


@pytest.mark.parametrize("label", LABELS[1:])
def test_each_action_swings_along_its_own_axis_several_times(label: str) -> None:
    card = testcard.TestCard(4, 160, 120)
    start_s, end_s = next((a, b) for name, a, b in schedule(4, 60) if name == label)
    path = np.array([card._head_at(t) for t in np.linspace(start_s, end_s, 200)])
    axis = {"shake": 0, "nod": 1, "tilt": 2}[label]
    reach = np.ptp(path, axis=0) / testcard.SWAY
    assert reach[axis] > 3 * np.delete(reach, axis).max()
    turns = np.diff(np.sign(path[:, axis] - path[:, axis].mean()))
    assert np.count_nonzero(turns) >= 4
