"""A video is read back with as many frames, of the same size, and a live stream's gaps filled."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from common.errors import UserError
from common.video import MAX_PAUSE_S, VideoFile

FPS = 10.0
SIZE = (64, 48)


def grey(level: int, width: int = SIZE[0], height: int = SIZE[1]) -> NDArray[np.uint8]:
    return np.full((height, width, 3), level, np.uint8)


def write(path: Path, shots: list[tuple[float, int]], live: bool) -> VideoFile:
    """Grey pictures at these seconds."""
    video = VideoFile(path, FPS, SIZE, live)
    for captured_s, level in shots:
        video.write(grey(level), round(captured_s * 1e9))
    video.close()
    return video


def levels(path: Path) -> list[int]:
    """The grey of each frame."""
    capture, found = cv2.VideoCapture(str(path)), []
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(FPS)
    while True:
        ok, picture = capture.read()
        if not ok:
            capture.release()
            return found
        assert picture.shape == (SIZE[1], SIZE[0], 3)
        found.append(round(float(picture.mean())))


def test_a_files_frames_are_all_there_once_whatever_their_times(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    video = write(path, [(0, 20), (0.1, 60), (0.1, 100), (5, 140), (5.01, 180)], live=False)
    assert video.frames == 5
    assert levels(path) == pytest.approx([20, 60, 100, 140, 180], abs=4)


def test_missing_frames_of_a_live_stream_show_the_picture_before(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    video = write(path, [(100.0, 20), (100.1, 20), (101.0, 200), (101.1, 200)], live=True)
    assert video.frames == 12  # 1.1 s at 10 frames a second, and the last
    assert levels(path) == pytest.approx([20] * 10 + [200] * 2, abs=4)


def test_a_live_stream_faster_than_the_video_is_thinned_out_to_its_true_length(tmp_path: Path) -> None:
    video = write(tmp_path / "x.mp4", [(i / 50, 50) for i in range(101)], live=True)
    assert video.frames == pytest.approx(21, abs=1)


def test_a_long_pause_is_shortened_once_and_not_paid_back_with_every_frame_after(tmp_path: Path) -> None:
    video = VideoFile(tmp_path / "x.mp4", FPS, SIZE, live=True)
    video.write(grey(0), 0)
    video.write(grey(0), round(60e9))
    paused = video.frames
    assert paused <= MAX_PAUSE_S * FPS + 2
    for i in range(1, 11):
        video.write(grey(0), round((60 + i / FPS) * 1e9))
    video.close()
    assert video.frames == pytest.approx(paused + 10, abs=1)


def test_a_stream_whose_clock_began_again_is_recorded_on(tmp_path: Path) -> None:
    video = VideoFile(tmp_path / "x.mp4", FPS, SIZE, live=True)
    for start_s in (100.0, 0.0):
        for i in range(10):
            video.write(grey(0), round((start_s + i / FPS) * 1e9))
    video.close()
    assert video.frames == pytest.approx(20, abs=1)


def test_a_picture_of_another_size_is_fitted_instead_of_dropped_silently(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    video = VideoFile(path, FPS, SIZE, live=False)
    video.write(grey(100, 128, 96), 0)
    video.write(grey(100, 30, 30), 1)
    video.close()
    assert len(levels(path)) == 2


def test_a_folder_that_is_not_there_is_told_with_the_path(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "x.mp4"
    with pytest.raises(UserError, match=r"nowhere/x\.mp4"):
        VideoFile(path, FPS, SIZE, live=True)
