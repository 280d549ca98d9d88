"""Check the counts of a stream, and which of its frames are missing."""

from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.bus.messages import Action, Prediction
from common.runtime.stream_record import StreamRecord


def prediction(seq: int, live: bool = False, start: int = 1, stride: int = 1, label: str | None = "wave") -> Prediction:
    return Prediction(
        stream="cam", seq=seq, captured_ns=seq, ingested_ns=seq, live=live, start=start, stride=stride, label=label
    )


def action(header: Prediction) -> Action:
    common = ("stream", "seq", "captured_ns", "ingested_ns", "live", "start", "end_of_stream")
    return Action(**{name: getattr(header, name) for name in common})


def finish(record: StreamRecord, end: Prediction) -> None:
    end = msgspec.structs.replace(end, end_of_stream=True)
    assert not record.end(end)
    assert record.end(action(end))


def record_of(seqs: Iterable[int], frames: int, live: bool = False, stride: int = 1) -> StreamRecord:
    record = StreamRecord()
    record.begin(prediction(0, live))
    for seq in seqs:
        record.add(prediction(seq, live, stride=stride), "")
    finish(record, prediction(frames, live))
    return record


@given(st.integers(0, 60), st.sets(st.integers(0, 59)))
def test_of_a_file_every_frame_without_a_line_is_named(frames: int, lost: set[int]) -> None:
    record = record_of([seq for seq in range(frames) if seq not in lost], frames)
    named = [seq for first, last in record.missing for seq in range(first, last + 1)]
    assert named == sorted(lost & set(range(frames)))
    assert record.lost == len(named)
    assert record.skipped == 0


@pytest.mark.parametrize(("seqs", "missing"), [(range(0, 30, 3), []), ([0, 3, 9, 12], [(4, 8)]), ([0, 3], [(4, 13)])])
def test_frames_that_a_stride_leaves_out_are_not_missing(seqs: Iterable[int], missing: list[tuple[int, int]]) -> None:
    frames = 30 if isinstance(seqs, range) else 14
    assert record_of(seqs, frames, stride=3).missing == missing


def test_frames_of_a_live_stream_before_the_first_prediction_are_not_skipped_ones() -> None:
    record = record_of([299], 300, live=True)
    assert (record.before, record.skipped, record.missing) == (299, 0, [])
    record = record_of([10, 12, 13, 19], 20, live=True)
    assert (record.before, record.skipped, record.missing) == (10, 6, [])


def test_a_repeated_prediction_counts_once() -> None:
    record = StreamRecord()
    record.begin(prediction(0))
    assert [record.add(prediction(seq), "") for seq in (0, 1, 1, 0, 2)] == [True, True, False, False, True]
    assert record.counts["frames"] == 3


def test_a_beginning_is_another_one_by_its_number_whatever_is_later() -> None:
    record = StreamRecord()
    assert record.is_new_start(prediction(0, start=9))
    record.begin(prediction(0, start=9))
    assert not record.is_new_start(prediction(5, start=9))
    assert record.is_new_start(prediction(0, start=3))
    record.begin(prediction(0, start=3))
    assert not record.is_new_start(prediction(7, start=9))  # a message that comes late
    assert not record.is_new_start(
        action(prediction(7, start=2))
    )  # one that comes still later, of an unknown beginning
    assert record.is_outdated(action(prediction(7, start=2)))
    assert record.is_outdated(prediction(7, start=9))
    assert not record.is_outdated(prediction(7, start=9, live=True))
    assert not record.is_outdated(prediction(1, start=3))


def test_a_camera_that_began_again_is_counted_from_there() -> None:
    record = StreamRecord()
    record.begin(prediction(0, live=True))
    for seq in range(100):
        record.add(prediction(seq, live=True), "")
    record.begin(prediction(0, live=True, start=2))
    for seq in range(2, 10):
        record.add(prediction(seq, live=True, start=2), "")
    finish(record, prediction(10, live=True, start=2))
    assert (record.before, record.skipped, record.missing) == (2, 0, [])
    assert record.counts["frames"] == 108


def test_frames_during_a_restart_of_the_logger_are_missing() -> None:
    record = StreamRecord()
    for seq in range(5):
        record.read(seq, "wave", "")
    record.begin(prediction(9, live=True))
    record.add(prediction(9, live=True), "")
    record.add(prediction(12, live=True), "")
    finish(record, prediction(13, live=True))
    assert record.missing == [(5, 8)]
    assert record.skipped == 6  # live, both kinds of gaps look alike


def test_a_replay_may_have_gaps_of_its_own() -> None:
    record = StreamRecord(gapless=False)
    record.begin(prediction(3))
    record.add(prediction(3), "")
    record.add(prediction(9), "")
    finish(record, prediction(10))
    assert record.missing == []
