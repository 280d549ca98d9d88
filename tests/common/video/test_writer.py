"""Check that a video is read back with all frames, at their size and times, except for long pauses."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from common.errors import UserError
from common.video.writer import MAX_PAUSE_S, MAX_SIDE_PX, MAX_STEP_S, VideoWriter
from tests.pace import patience
from tests.pipeline import ROOT

FPS = 10.0
SIZE = (64, 48)


def grey(level: int, width: int = SIZE[0], height: int = SIZE[1]) -> NDArray[np.uint8]:
    return np.full((height, width, 3), level, np.uint8)


def write(path: Path, frames: list[tuple[float, int]], live: bool) -> VideoWriter:
    """Write grey frames (time in seconds, level)."""
    video = VideoWriter(path, FPS, SIZE, live)
    for captured_s, level in frames:
        video.write(grey(level), round(captured_s * 1e9))
    video.close()
    return video


def levels(path: Path) -> list[int]:
    """The grey of each frame."""
    return [level for _, level in read_frames(path)]


def read_frames(path: Path) -> list[tuple[float, int]]:
    """The seconds and the grey of each frame."""
    capture, found = cv2.VideoCapture(str(path)), []
    while True:
        ok, image = capture.read()
        if not ok:
            capture.release()
            return found
        assert image.shape == (SIZE[1], SIZE[0], 3)
        found.append((capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, round(float(image.mean()))))


def length_s(path: Path) -> float:
    capture = cv2.VideoCapture(str(path))
    return float(capture.get(cv2.CAP_PROP_FRAME_COUNT) / capture.get(cv2.CAP_PROP_FPS))


def test_a_files_frames_are_all_there_once_at_their_times(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    video = write(path, [(7, 20), (7.1, 60), (7.1, 100), (12, 140), (12.01, 180)], live=False)
    assert video.frames == 5
    times, found = zip(*read_frames(path), strict=True)
    assert found == pytest.approx([20, 60, 100, 140, 180], abs=4)
    assert times == pytest.approx([0, 0.1, 0.2, 5, 5.01], abs=0.001)  # of two of one time the second comes after
    assert length_s(path) == pytest.approx(5.02, abs=0.001)


def test_jitter_drops_no_image(tmp_path: Path) -> None:
    jitter = np.random.default_rng(0).uniform(-0.003, 0.003, 200)
    seconds = [number / FPS + float(late) for number, late in enumerate(jitter)]
    write(tmp_path / "x.mp4", [(at, 50) for at in seconds], live=False)
    assert [at for at, _ in read_frames(tmp_path / "x.mp4")] == pytest.approx(
        [at - seconds[0] for at in seconds], abs=0.001
    )


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("fps", [0.5, 14.9253, 29.97, 66.667, 119.88, 239.76, 1000])
def test_any_rate_can_be_written(fps: float, live: bool, tmp_path: Path) -> None:
    video = VideoWriter(tmp_path / "x.mp4", fps, SIZE, live)
    for number in range(8):
        video.write(grey(50), round(number / fps * 1e9))
    video.close()
    assert len(levels(tmp_path / "x.mp4")) == 8
    assert cv2.VideoCapture(str(tmp_path / "x.mp4")).get(cv2.CAP_PROP_FPS) == pytest.approx(fps, rel=0.01)


def test_an_image_larger_than_mpeg4_allows_is_shrunk(tmp_path: Path) -> None:
    video = VideoWriter(tmp_path / "x.mp4", FPS, (12_000, 30), live=False)
    video.write(grey(100, 12_000, 30), 0)
    video.close()
    assert cv2.VideoCapture(str(tmp_path / "x.mp4")).get(cv2.CAP_PROP_FRAME_WIDTH) == MAX_SIDE_PX


WRITER = """
import os, sys
from pathlib import Path
import numpy as np
from common.video.writer import VideoWriter
video = VideoWriter(Path(sys.argv[1]), 25.0, (64, 48), live=sys.argv[2] == "live")
for number in range(100):
    video.write(np.full((48, 64, 3), number, np.uint8), number * 40_000_000)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("kind", ["live", "file"])
def test_a_writer_that_is_killed_leaves_all_but_the_last_second(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    command = [sys.executable, "-c", WRITER, str(path), kind]
    assert subprocess.run(command, cwd=ROOT, timeout=patience(20), check=False).returncode == -9
    found = read_frames(path)
    assert 75 <= len(found) <= 100
    assert [level for _, level in found] == pytest.approx(list(range(len(found))), abs=4)
    assert all(after - before == pytest.approx(0.04, abs=0.001) for (before, _), (after, _) in pairwise(found))
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) == len(found)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_oserror() -> None:
    video = VideoWriter(Path("/dev/full"), FPS, SIZE, live=False)
    with pytest.raises(OSError, match=r"No space|MB free"):  # noqa: PT012
        for number in range(100):
            video.write(grey(number), round(number / FPS * 1e9))
    video.abandon()


@pytest.mark.parametrize("fps", [FPS, 1000.0])  # some cameras claim any rate
def test_each_image_of_a_live_stream_is_encoded_once_at_its_time(fps: float, tmp_path: Path) -> None:
    video = VideoWriter(tmp_path / "x.mp4", fps, SIZE, live=True)
    seconds = [0, 0.1, 1.0, 1.02, 1.04, 9.0]  # some are missing, some come faster than the stream's rate
    for number, at in enumerate(seconds):
        video.write(grey(20 * number), round((100 + at) * 1e9))
        assert video.frames == number + 1
    video.close()
    times, found = zip(*read_frames(tmp_path / "x.mp4"), strict=True)
    assert times == pytest.approx(seconds, abs=0.001)
    assert found == pytest.approx([0, 20, 40, 60, 80, 100], abs=4)
    assert length_s(tmp_path / "x.mp4") == pytest.approx(9 + 1 / fps, abs=0.001)


@pytest.mark.parametrize(("live", "longest_s"), [(True, MAX_PAUSE_S), (False, MAX_STEP_S)])
@pytest.mark.parametrize("pause_s", [60 * 60 + 1, 25 * 60 * 60, 400 * 24 * 60 * 60])
def test_a_long_pause_is_shortened_once_and_not_paid_back_with_every_frame_after(
    pause_s: int, live: bool, longest_s: float, tmp_path: Path
) -> None:
    after = [(pause_s + number / FPS, 0) for number in range(10)]
    video = write(tmp_path / "x.mp4", [(0, 0), *after], live)
    assert video.frames == 11
    assert length_s(tmp_path / "x.mp4") == pytest.approx(longest_s + 10 / FPS, abs=0.001)


def test_a_rate_slower_than_the_longest_pause_is_written_too(tmp_path: Path) -> None:
    video = VideoWriter(tmp_path / "x.mp4", 0.05, SIZE, live=True)
    for number in range(3):
        video.write(grey(0), number * 20 * 10**9)
    video.close()
    assert [at for at, _ in read_frames(tmp_path / "x.mp4")] == [0, 20, 40]


def test_a_stream_whose_clock_began_again_is_recorded_on(tmp_path: Path) -> None:
    seconds = [start_s + number / FPS for start_s in (100, 0) for number in range(10)]
    video = write(tmp_path / "x.mp4", [(at, 0) for at in seconds], live=True)
    assert video.frames == 20
    assert length_s(tmp_path / "x.mp4") == pytest.approx(20 / FPS, abs=0.001)


def test_an_image_of_another_size_is_resized_and_not_dropped(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    video = VideoWriter(path, FPS, SIZE, live=False)
    video.write(grey(100, 128, 96), 0)
    video.write(grey(100, 30, 30), 1)
    video.close()
    assert len(levels(path)) == 2


def test_a_missing_folder_is_reported_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "x.mp4"
    with pytest.raises(UserError, match=r"nowhere/x\.mp4"):
        VideoWriter(path, FPS, SIZE, live=True)
