"""Check that frames and keypoints are paired in any order of arrival, losses cause no delay, and memory is limited."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from common.bus.messages import Frame, Keypoints
from common.frames import pairing
from common.frames.pairing import HEADER_BYTES, FramePairing, limit_memory
from common.keypoints.landmarks import SIZE

FRAME_BYTES = HEADER_BYTES + 4 * 3 * 3


def frame(seq: int) -> tuple[Frame, NDArray[np.uint8]]:
    header = Frame(stream="cam", seq=seq, captured_ns=seq, ingested_ns=0, width=4, height=3)
    return header, np.full((3, 4, 3), seq, np.uint8)


def keypoints(seq: int) -> tuple[Keypoints, NDArray[np.float32]]:
    return Keypoints(stream="cam", seq=seq, captured_ns=seq, ingested_ns=0), np.zeros(SIZE, np.float32)


def pairs(made: FramePairing) -> list[tuple[int, bool]]:
    """Sequence numbers, and whether the image is there."""
    found = []
    while pair := made.next():
        assert pair.frame is None or pair.frame.seq == pair.keypoints.seq
        found.append((pair.keypoints.seq, pair.frame is not None))
    return found


@given(st.integers(0, 6), st.integers(1, 9))
def test_whichever_comes_first(ahead: int, count: int) -> None:
    made, found = FramePairing(), []
    for seq in range(count + ahead):
        if seq < count:
            made.add_keypoints(*keypoints(seq))
        if seq >= ahead:
            made.add_frame(*frame(seq - ahead))
        found += pairs(made)
    assert found == [(seq, True) for seq in range(count)]


def test_only_processed_frames_are_kept_of_a_camera_that_is_faster_than_the_extractor() -> None:
    made = FramePairing()
    for seq in range(9):
        made.add_frame(*frame(seq))
    for seq in (2, 5, 8):
        made.add_keypoints(*keypoints(seq))
    assert pairs(made) == [(2, True), (5, True), (8, True)]


def test_a_frame_is_lost_when_a_later_one_arrives_or_after_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    made = FramePairing()
    made.add_keypoints(*keypoints(0))
    assert pairs(made) == [] and made.waiting == 1
    made.add_frame(*frame(1))
    assert pairs(made) == [(0, False)]
    monkeypatch.setattr(pairing, "LATE_S", 0.0)
    made.add_keypoints(*keypoints(1))
    made.add_keypoints(*keypoints(2))
    assert pairs(made) == [(1, True), (2, False)]


def test_memory_has_a_limit_in_bytes_for_all_streams_together() -> None:
    busy, calm = FramePairing(), FramePairing()
    for seq in range(100):
        busy.add_frame(*frame(seq))
        limit_memory([busy, calm], 5 * FRAME_BYTES)
    assert busy.held_bytes == 5 * FRAME_BYTES
    for seq in range(2):
        calm.add_frame(*frame(seq))
        limit_memory([busy, calm], 5 * FRAME_BYTES)
    for seq in range(100):
        busy.add_keypoints(*keypoints(seq))
        calm.add_keypoints(*keypoints(seq))
    assert [seq for seq, is_there in pairs(busy) if is_there] == [97, 98, 99]
    assert [seq for seq, is_there in pairs(calm)] == [0, 1]
    assert busy.held_bytes == calm.held_bytes == 0


def test_a_frame_without_an_image_is_not_lost_and_is_limited_too() -> None:
    made = FramePairing()
    for seq in range(9):
        made.add_frame(frame(seq)[0], None)
    limit_memory([made], 5 * HEADER_BYTES)
    for seq in range(3, 9):
        made.add_keypoints(*keypoints(seq))
    assert pairs(made) == [(3, False), *((seq, True) for seq in range(4, 9))]
