"""Check that times of files rise and stay close to the timestamps, and that rates are those of the timestamps."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.video.file_clock import STEP_NS, FileClock
from common.video.sources import FileSource

MS = 1_000_000
FPS = 25.0
PERIOD = 40  # ms


def times(stamps: Sequence[int | None], fps: float = FPS) -> list[float]:
    """Milliseconds in and out."""
    clock, stamps_ns = FileClock(fps), [None if stamp is None else stamp * MS for stamp in stamps]
    return [clock.time(*pair) / MS for pair in zip(stamps_ns, [*stamps_ns[1:], None], strict=True)]


def film(path: Path, stamps_ms: Sequence[int], codec: str = "mpeg4") -> Path:
    """A video whose frames have these timestamps, as its container stores them."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=1000)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number, stamp in enumerate(stamps_ms):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number % 250, np.uint8), format="bgr24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read_times_ms(source: FileSource) -> list[float]:
    found = []
    while captured := source.read():
        found.append(captured.captured_ns / MS)
    source.close()
    return found


# --- the clock ------------------------------------------------------------------------------------------


def test_rising_timestamps_are_the_times() -> None:
    assert times([0, 40, 85, 3000, 3010]) == [0, 40, 85, 3000, 3010]


@given(st.lists(st.integers(0, 200), min_size=1, max_size=60), st.sampled_from([10.0, 25.0, 60.0]))
def test_times_of_repeated_timestamps_stay_close_to_them(steps: list[int], fps: float) -> None:
    stamps = np.cumsum(steps).tolist()
    found = times(stamps, fps)
    assert all(one < other for one, other in pairwise(found))
    slack = len(stamps) * STEP_NS / MS
    assert all(0 <= time - stamp <= 1000 / fps + slack for time, stamp in zip(found, stamps, strict=True))


@given(st.lists(st.none() | st.integers(-(10**6), 10**11), min_size=1, max_size=60))
def test_times_rise_for_any_timestamps(stamps: list[int | None]) -> None:
    found = times(stamps)
    assert all(one < other for one, other in pairwise(found))


@given(st.integers(1, 20), st.integers(-(10**10), 10**12))
@example(1, 3 * PERIOD - 1)  # as far beyond the next stamp as one of two that are exchanged may be
@example(1, 3 * PERIOD)
def test_one_invalid_timestamp_changes_no_other_time(place: int, stamp: int) -> None:
    stamps: list[int | None] = [PERIOD * number for number in range(24)]
    stamps[place] = stamp
    found = times(stamps)
    true = [PERIOD * number for number in range(24)]
    for number, (time, expected) in enumerate(zip(found, true, strict=True)):
        assert abs(time - expected) <= 2 * PERIOD, (number, found)
    assert found[place + 2 :] == true[place + 2 :]


def test_frames_whose_timestamps_are_exchanged_stay_within_one_frame_of_their_time() -> None:
    found = times([0, 40, 120, 80, 160, 240, 200, 280])
    assert max(abs(time - PERIOD * number) for number, time in enumerate(found)) <= PERIOD
    assert found[-1] == 280


def test_a_recording_behind_another_continues_after_it() -> None:
    once = [PERIOD * number for number in range(50)]
    assert times(once + once) == [PERIOD * number for number in range(100)]


def test_without_timestamps_the_rate_is_the_clock() -> None:
    assert times([None] * 5) == [0, 40, 80, 120, 160]


# --- files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mkv", "mp4"])
def test_a_file_with_stalls_and_a_rate_that_changes_keeps_its_times(kind: str, tmp_path: Path) -> None:
    stamps = [*range(0, 1000, 40), 4000, *range(4100, 6000, 100), *range(6000, 6500, 16)]
    source = FileSource(film(tmp_path / f"x.{kind}", stamps))
    assert source.fps == pytest.approx((len(stamps) - 1) / 6.496, rel=0.01)
    assert read_times_ms(source) == pytest.approx(stamps, abs=1)


def test_a_stream_without_timestamps_has_its_nominal_rate(tmp_path: Path) -> None:
    path = tmp_path / "x.h264"
    with av.open(str(path), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=20)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(12):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * number, np.uint8), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 20)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    source = FileSource(path)
    assert source.fps == 20
    assert read_times_ms(source) == [50 * number for number in range(12)]


def test_a_rate_close_to_the_nominal_one_is_that(tmp_path: Path) -> None:
    source = FileSource(film(tmp_path / "x.mkv", [round(number * 1000 / 30) for number in range(60)]))
    assert source.fps == pytest.approx(30, abs=0.05)
    source.close()


def test_a_browsers_recording_lasts_as_long_as_it_says(shared: Path) -> None:
    source = FileSource(shared / "cases" / "repeated_times.webm")
    found = read_times_ms(source)
    assert len(found) == 150
    assert found[-1] == 6293
    assert source.fps == pytest.approx(149 / 6.293, rel=0.01)


def test_a_file_that_claims_a_thousand_frames_a_second_has_the_rate_of_its_times(shared: Path) -> None:
    source = FileSource(shared / "cases" / "thousand_fps.webm")
    assert source.fps == pytest.approx(149 / 6.6, rel=0.01)
    assert read_times_ms(source)[-1] == 6600


STALL = [*range(0, 1000, 40), *range(4000, 5000, 40)]
VARYING = [*range(0, 1000, 16), *range(1000, 6000, 200)]


@pytest.mark.parametrize(("name", "codec"), [("x.webm", "libvpx"), ("x.mkv", "mpeg4"), ("x.mp4", "mpeg4")])
@pytest.mark.parametrize("stamps", [STALL, VARYING, range(5000, 6000, 40)])
def test_a_complete_file_is_not_reported_as_incomplete(
    tmp_path: Path, name: str, codec: str, stamps: Sequence[int], caplog: pytest.LogCaptureFixture
) -> None:
    assert len(read_times_ms(FileSource(film(tmp_path / name, stamps, codec)))) == len(stamps)
    assert not caplog.text
