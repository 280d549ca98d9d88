"""Check files, folders, addresses and cameras, intact and damaged."""

import logging
import socket
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from common.config import load
from common.errors import UserError
from common.video import sources
from common.video.sources import CapturedFrame, FileSource, FolderSource, Source, SourceLost
from tests.mjpeg import network_camera
from tests.pace import patience

MISSING_CAMERA = 9


def grey(level: int) -> NDArray[np.uint8]:
    return np.full((48, 64, 3), level, np.uint8)


def video(path: Path, frames: int = 6, fps: float = 20.0) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (64, 48))
    for i in range(frames):
        writer.write(grey(40 * i % 250))
    writer.release()
    return path


def choose(source: object, **values: object) -> Source:
    return sources.open_source(
        load(sets=[f"camera.source={source}", *(f"camera.{k}={v}" for k, v in values.items())]).camera
    )


def read_all(source: Source, at_most: int = 100) -> list[CapturedFrame]:
    frames: list[CapturedFrame] = []
    while len(frames) < at_most and (frame := source.read()) is not None:
        frames.append(frame)
    source.close()
    return frames


def levels(frames: list[CapturedFrame]) -> list[int]:
    return [round(float(frame.image.mean())) for frame in frames]


# --- files ----------------------------------------------------------------------------------------------


def test_every_frame_of_a_file_comes_once_with_its_own_time(tmp_path: Path) -> None:
    source = choose(video(tmp_path / "x.mp4"))
    assert isinstance(source, FileSource)
    assert (source.live, source.waits_for_readers, source.fps) == (False, True, 20.0)
    frames = read_all(source)
    assert levels(frames) == pytest.approx([0, 40, 80, 120, 160, 200], abs=4)
    assert [frame.captured_ns for frame in frames] == pytest.approx([i * 50_000_000 for i in range(6)], abs=1000)
    assert frames[0].image.shape == (48, 64, 3) and frames[0].image.dtype == np.uint8


def test_a_file_that_loops_runs_on_in_time(tmp_path: Path) -> None:
    frames = read_all(choose(video(tmp_path / "x.mp4", 3), loop=True), at_most=8)
    assert levels(frames) == pytest.approx([0, 40, 80, 0, 40, 80, 0, 40], abs=4)
    assert [frame.captured_ns for frame in frames] == pytest.approx([i * 50_000_000 for i in range(8)], abs=1000)


def test_a_file_played_live_keeps_its_own_pace(tmp_path: Path) -> None:
    source = choose(video(tmp_path / "x.mp4", 5, fps=20.0), live=True)
    assert source.live
    begun = time.monotonic()
    assert len(read_all(source)) == 5
    assert 0.19 <= time.monotonic() - begun < patience(1)


def test_a_damaged_or_unknown_file_is_reported_with_its_name(tmp_path: Path) -> None:
    whole = video(tmp_path / "whole.mp4").read_bytes()
    for name, content in {
        "empty.mp4": b"",
        "text.mp4": b"this is no video\n" * 50,
        "truncated.mp4": whole[: len(whole) // 2],
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name):
            choose(tmp_path / name)


def test_a_file_that_declares_more_frames_than_it_holds_says_so_at_its_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20.0, (64, 48))
    for i in range(50):
        writer.write(np.random.default_rng(i).integers(0, 256, (48, 64, 3), np.uint8))
    writer.release()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with caplog.at_level(logging.WARNING):
        count = len(read_all(choose(path)))
    assert 0 < count < 50
    assert f"declares 50 frames, of which {count}" in caplog.text


def test_a_source_that_does_not_exist_is_reported_with_the_setting() -> None:
    with pytest.raises(UserError, match=r"nowhere\.mp4.*camera\.source"):
        choose("nowhere.mp4")


# --- folders --------------------------------------------------------------------------------------------


def test_a_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    names = ["frame1.png", "frame2.png", "frame10.jpg", "frame100.BMP"]
    for level, name in enumerate(names):
        cv2.imwrite(str(tmp_path / name), grey(60 * level))
    (tmp_path / "notes.txt").write_text("no image")
    source = choose(tmp_path, fps=10)
    assert isinstance(source, FolderSource)
    frames = read_all(source)
    assert levels(frames) == pytest.approx([0, 60, 120, 180], abs=2)
    assert [frame.captured_ns for frame in frames] == [0, 100_000_000, 200_000_000, 300_000_000]


def test_names_with_odd_digits_can_be_ordered(tmp_path: Path) -> None:
    for name in ("1²2.png", "²1.png", "٣.png", "10.png", "a.png"):
        cv2.imwrite(str(tmp_path / "x.png"), grey(0))
        (tmp_path / "x.png").rename(tmp_path / name)
    assert len(read_all(choose(tmp_path))) == 5


def test_a_folder_that_loops_runs_on_in_time(tmp_path: Path) -> None:
    for i in range(2):
        cv2.imwrite(str(tmp_path / f"{i}.png"), grey(100 * i))
    frames = read_all(choose(tmp_path, fps=10, loop=True), at_most=5)
    assert levels(frames) == [0, 100, 0, 100, 0]
    assert np.diff([frame.captured_ns for frame in frames]).tolist() == [100_000_000] * 4


def test_a_folder_without_images_and_one_with_a_broken_image_are_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no images"):
        choose(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"text")
    with pytest.raises(UserError, match=r"broken\.png"):
        read_all(choose(tmp_path))


# --- cameras and addresses ------------------------------------------------------------------------------


@pytest.mark.skipif(Path(f"/dev/video{MISSING_CAMERA}").exists(), reason="there is such a camera")
def test_a_missing_camera_is_reported_with_what_to_do() -> None:
    with pytest.raises(UserError, match=rf"Camera {MISSING_CAMERA} does not open; .*"):
        choose(MISSING_CAMERA)


@pytest.mark.skipif(any(Path("/dev").glob("video*")), reason="there is a camera")
def test_auto_without_a_camera_is_the_test_card() -> None:
    source = choose("auto", width=160, height=120)
    assert (source.name, source.live, source.waits_for_readers) == ("testcard", True, True)
    first, second = source.read(), source.read()
    assert first.captured_ns < second.captured_ns
    assert first.image.shape == (120, 160, 3)


def test_a_test_card_too_small_is_a_user_error() -> None:
    with pytest.raises(UserError, match="test card"):
        choose("testcard", width=16, height=16)


def test_an_address_returns_live_frames_and_is_lost_when_its_server_ends() -> None:
    with network_camera([grey(20 * i) for i in range(10)]) as address:
        source = choose(address)
        assert (source.live, source.waits_for_readers) == (True, False)
        frames = [frame for _ in range(8) if (frame := source.read()) is not None]
        with pytest.raises(SourceLost, match="no more frames"):
            read_all(source)
        source.close()
    assert len(frames) == 8
    assert [frame.captured_ns for frame in frames] == sorted(frame.captured_ns for frame in frames)
    assert frames[0].image.shape == (48, 64, 3)


def test_an_address_that_does_not_answer_may_come_back_and_is_lost_not_wrong() -> None:
    with pytest.raises(SourceLost, match="does not open"):
        choose("http://127.0.0.1:9/video.mjpg")


def test_an_address_that_accepts_and_says_nothing_is_lost_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "RESPONSE_TIMEOUT_MS", 300)
    with socket.create_server(("127.0.0.1", 0)) as unresponsive, pytest.raises(SourceLost, match="does not open"):
        choose(f"http://127.0.0.1:{unresponsive.getsockname()[1]}/video.mjpg")


# --- images from elsewhere ------------------------------------------------------------------------------


def test_one_broken_image_among_others_is_left_out_with_its_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for i in (1, 2, 10):
        cv2.imwrite(str(tmp_path / f"{i}.png"), grey(20 * i))
    (tmp_path / "3.png").write_bytes(b"text")
    (tmp_path / "._1.png").write_bytes(b"of a Mac")
    with caplog.at_level(logging.WARNING):
        frames = read_all(choose(tmp_path, fps=10, loop=True), at_most=7)
    assert levels(frames) == [20, 40, 200, 20, 40, 200, 20]
    assert [frame.captured_ns for frame in frames] == [number * 100_000_000 for number in (0, 1, 3, 4, 5, 7, 8)]
    assert caplog.text.count("3.png cannot be decoded and is skipped") == 1


def test_a_gif_keeps_its_delays_and_what_its_transparent_parts_leave(tmp_path: Path) -> None:
    images = [Image.new("P", (64, 48), 0) for _ in range(4)]
    for number, image in enumerate(images):
        image.putpalette([200, 200, 200, 0, 0, 0])
        image.paste(1, (16 * number, 0, 16 * number + 16, 48))  # colour 0 lets through what was there before
    delays = [100, 50, 300, 20]
    path = tmp_path / "x.gif"
    more = {"transparency": 0, "disposal": 1, "optimize": False, "duration": delays}
    images[0].save(path, save_all=True, append_images=images[1:], **more)
    frames = read_all(choose(path))
    assert [frame.captured_ns for frame in frames] == [0, 100_000_000, 150_000_000, 450_000_000]
    dark = [int((frame.image.max(axis=2) < 10).all(axis=0).sum()) for frame in frames]
    assert dark == [16, 32, 48, 64], "each adds its bar to those before"


# --- cameras that are not here: videos stand for devices, so all but the driver is real ---------------------


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of devices, as Linux has them in /dev."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(sources, "DEVICES", tmp_path)
    monkeypatch.setattr(sources, "_open_device", lambda number: cv2.VideoCapture(str(tmp_path / f"video{number}")))
    return tmp_path


def device(devices: Path, number: int, frames: int = 4) -> None:
    """A camera that returns so many frames, as bright as its number; with no frames it opens all the same."""
    path = devices / "new.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20.0, (64, 48))
    for _ in range(max(frames, 1)):
        writer.write(grey(10 * number))
    writer.release()
    if not frames:
        path.write_bytes(path.read_bytes().partition(b"movi")[0] + b"movi")
    path.rename(devices / f"video{number}")


def test_auto_is_the_first_camera_that_returns_a_frame_whatever_its_number(devices: Path) -> None:
    (devices / "video0").touch()  # does not open
    device(devices, 2, frames=0)
    device(devices, 12)
    device(devices, 11)
    source = choose("auto")
    assert (source.name, source.live, source.waits_for_readers) == ("camera 11", True, False)
    frames = [source.read() for _ in range(4)]
    assert levels([frame for frame in frames if frame]) == [110] * 4  # the first one is not lost
    with pytest.raises(SourceLost, match="camera 11 returns no more frames"):
        source.read()
    assert sources.cameras() == [11, 12]


def test_auto_is_the_test_card_only_where_no_camera_was_before(devices: Path) -> None:
    device(devices, 0, frames=0)
    assert choose("auto").name == "testcard"
    options = load(sets=["camera.source=auto"]).camera
    with pytest.raises(SourceLost, match="no camera returns a frame"):
        sources.open_source(options, again=True)
    device(devices, 3)
    source = sources.open_source(options, again=True)
    source.close()
    assert source.name == "camera 3"


def test_a_camera_without_a_frame_is_a_user_error_at_first_and_later_lost(devices: Path) -> None:
    device(devices, 0, frames=0)
    device(devices, 1)
    for number, does in ((0, "opens, but returns no frame"), (7, "does not open")):
        with pytest.raises(UserError, match=f"Camera {number} {does}; cameras that do: 1"):
            choose(number)
        with pytest.raises(SourceLost, match=f"camera {number} {does}"):
            sources.open_source(load(sets=[f"camera.source={number}"]).camera, again=True)
