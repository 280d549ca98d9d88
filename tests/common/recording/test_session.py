"""A session captures complete sequences of every label; whatever keys are pressed, none is counted twice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.keypoints.landmarks import LEFT_ANKLE, RIGHT_ANKLE, SIZE, SLICES, split
from common.recording.session import (
    HANDS_DOWN_S,
    MAX_RETAKES,
    MAX_SEQUENCE_S,
    CapturedSequence,
    CapturePlan,
    CaptureSession,
    capture_issues,
    hands_up,
)

PERIOD_NS = 40_000_000


def person(hands: bool = False) -> np.ndarray:
    vector = np.full(SIZE, 0.5, np.float32)
    pose = split(vector)["pose"]
    pose[[11, 12], 1], pose[[23, 24], 1], pose[:, 3] = 0.4, 0.9, 1.0
    pose[[15, 16], 1] = 0.5 if hands else 0.95
    return vector


def session(labels: tuple[str, ...] = ("wave", "clap"), sequences: int = 2, frames: int | None = 10) -> CaptureSession:
    return CaptureSession(CapturePlan(labels, sequences, frames, countdown_s=0.2), {})


def run(
    made: CaptureSession, count: int, first: int = 0, vector: np.ndarray | None = None, save: bool = True
) -> list[CapturedSequence]:
    """Feed frames of a steady stream; the sequences."""
    sequences = []
    for seq in range(first, first + count):
        sequence = made.frame(seq, seq * PERIOD_NS, person() if vector is None else vector)
        if sequence:
            sequences.append(sequence)
            if save:
                made.saved(sequence)
    return sequences


def test_each_label_in_turn_gets_its_sequences_after_a_countdown() -> None:
    made = session()
    sequences = run(made, 200)
    assert [sequence.label for sequence in sequences] == ["wave", "wave", "clap", "clap"]
    assert made.state == "finished"
    for sequence in sequences:
        assert len(sequence.seqs) == len(sequence.captured_ns) == len(sequence.keypoints) == 10
        assert sequence.issues == ()
    # 0.2 s of countdown are the frames 0 to 4; the fifth interval completes it.
    assert [sequence.seqs[0] for sequence in sequences] == [5, 20, 35, 50]


def test_what_is_there_already_is_not_done_again() -> None:
    made = CaptureSession(CapturePlan(("wave", "clap"), 5, 10, 0.0), {"wave": 5, "clap": 3})
    assert made.label == "clap"
    assert len(run(made, 100)) == 2
    assert CaptureSession(CapturePlan(("wave",), 5, 10, 0.0), {"wave": 7}).state == "finished"


@pytest.mark.parametrize(("step", "bad"), [(1, False), (2, True)])
def test_a_sequence_that_missed_frames_is_done_again_and_at_last_kept_and_marked(step: int, bad: bool) -> None:
    made, sequences, seq = session(("wave",), 1), [], 0
    for place in range(200):
        seq += step if place % 3 == 0 else 1
        sequence = made.frame(seq, seq * PERIOD_NS, person())
        if sequence:
            sequences.append((place, sequence))
            made.saved(sequence)
    ((place, sequence),) = sequences
    assert bool(sequence.issues) == bad
    assert (place > MAX_RETAKES * 10) == bad
    assert ("missed" in made.detail) == bad


def test_a_sequence_that_lost_the_person_is_done_again() -> None:
    made = session(("wave",), 1)
    assert run(made, 15, vector=np.zeros(SIZE, np.float32)) == []
    assert made.state == "countdown"
    assert "nobody in view" in made.detail
    (sequence,) = run(made, 15, first=15)
    assert sequence.seqs[0] >= 15


def test_a_stream_that_begins_again_spoils_no_sequence() -> None:
    made = session(("wave",), 1)
    run(made, 9)
    assert made.state == "capturing"
    (sequence,) = run(made, 30)
    assert len(sequence.seqs) == 10
    assert list(sequence.seqs) == list(range(sequence.seqs[0], sequence.seqs[0] + 10))


def test_retake_between_sequences_deletes_the_last_once() -> None:
    made = session()
    run(made, 16)
    assert made.progress["wave"] == 1
    assert made.retake()
    assert made.progress["wave"] == 0
    assert not made.retake()


def test_retake_while_capturing_deletes_nothing() -> None:
    made = session()
    run(made, 23)
    assert made.state == "capturing"
    assert not made.retake()
    assert (made.progress["wave"], made.state, made.frames) == (1, "countdown", 0)


def test_pause_skip_and_stop() -> None:
    made = session()
    made.pause("the disk is full")
    assert run(made, 50) == []
    assert (made.state, made.detail) == ("paused", "the disk is full")
    made.pause()
    assert made.state == "countdown"
    made.skip()
    assert made.label == "clap"
    made.stop()
    assert made.state == "finished"
    assert run(made, 50, first=50) == []


def test_from_hands_up_to_hands_down() -> None:
    made = session(("wave",), 1, frames=None)
    run(made, 20)
    assert made.state == "ready"
    run(made, 25, first=20, vector=person(hands=True))
    (sequence,) = run(made, 25, first=45)
    assert sequence.seqs[0] == 20
    assert sequence.captured_ns[-1] == pytest.approx((44 + HANDS_DOWN_S * 25) * PERIOD_NS, abs=PERIOD_NS)


def test_hands_that_never_go_down_end_a_sequence_at_last() -> None:
    made = session(("wave",), 1, frames=None)
    (sequence,) = run(made, 400, vector=person(hands=True))
    assert sequence.captured_ns[-1] - sequence.captured_ns[0] == pytest.approx(MAX_SEQUENCE_S * 1e9, abs=PERIOD_NS)


def test_a_hand_that_is_not_visible_is_not_up() -> None:
    vector = person(hands=True)
    assert hands_up(vector)
    split(vector)["pose"][[15, 16], 3] = 0.1
    assert not hands_up(vector)
    assert not hands_up(np.zeros(SIZE, np.float32))


def test_what_is_wrong_with_a_sequence() -> None:
    times = np.arange(20, dtype=np.int64) * PERIOD_NS
    good = np.tile(person(), (20, 1))
    assert capture_issues(times, good) == {}
    assert capture_issues(np.delete(times, 7), good[1:]) == {"1 of 20 frames missed": False}
    assert capture_issues(times[:5], good[:5]) == {"only 5 frames": True}
    bursts = np.cumsum(np.resize([0.2, 1.4, 1.4], 20) * PERIOD_NS).astype(np.int64)
    assert capture_issues(bursts, good) == {"frames came unevenly": True}
    pose_only = good.copy()
    pose_only[:, SLICES["face"].start :] = 0
    split(pose_only)["pose"][:, [LEFT_ANKLE, RIGHT_ANKLE], 3] = 0.9
    assert capture_issues(times, pose_only) == {}
    split(pose_only)["pose"][:, [LEFT_ANKLE, RIGHT_ANKLE], 3] = 0.1
    assert capture_issues(times, pose_only) == {"neither face, hand nor leg in view": True}
    lost = good.copy()
    lost[3] = 0
    assert capture_issues(times, lost) == {"nobody in view in 1 of 20 frames": False}


EVENTS = st.lists(
    st.one_of(st.integers(1, 30), st.sampled_from(["pause", "retake", "skip", "restart", "fail"])), max_size=40
)


@given(EVENTS)
def test_whatever_happens_the_count_is_what_was_saved_and_not_retaken(events: list) -> None:
    made, kept, seq = session(sequences=3, frames=8), [], 0
    for event in events:
        if event == "restart":
            seq = 0
        elif event == "fail":
            made.pause("not saved")
        elif event == "retake":
            if made.retake():
                kept.pop()
        elif isinstance(event, str):
            getattr(made, event)()
        else:
            for seq in range(seq, seq + event):  # noqa: B020
                sequence = made.frame(seq, seq * PERIOD_NS, person())
                if sequence:
                    assert len(sequence.seqs) == 8
                    assert (np.diff(sequence.captured_ns) > 0).all()
                    kept.append(sequence.label)
                    made.saved(sequence)
            seq += 1
        assert {label: kept.count(label) for label in made.progress} == dict(made.progress)
        assert all(count <= 3 for count in made.progress.values())
        assert (made.state == "finished") == (made.label == "")
