"""The overlay's video and its steps: a file at its times, anew with the stream, whatever waits or is bad."""

import time
from collections.abc import Iterator
from pathlib import Path
from weakref import ref

import cv2
import numpy as np
import pytest

from common import config
from common.bus.messages import Frame, Keypoints, Message
from common.frames.pairing import HEADER_BYTES, MEMORY_LIMIT_BYTES
from common.keypoints.landmarks import SIZE
from common.runtime.service import HEARTBEAT_S
from common.runtime.watchdog import RESTARTED
from common.video.sources import FileSource
from services.overlay import DRAW_S, Overlay
from tests.pace import patience
from tests.pipeline import free_ports

NO_PERSON = np.zeros(SIZE, np.float32)
BAD_JPEG = np.frombuffer(b"\xff\xd8\xff no image", np.uint8)


def made(tmp_path: Path) -> Overlay:
    return Overlay(config.load(sets=[f"overlay.video={tmp_path / 'o.mp4'}", "overlay.page=false"]))


def frame_and_keypoints(
    seq: int, captured_ns: int = 0, size: tuple[int, int] = (320, 240), **values: object
) -> list[Message]:
    """A frame and its keypoints."""
    about = {
        "stream": values.pop("stream", "cam"),
        "seq": seq,
        "captured_ns": captured_ns or seq * 40_000_000,
        "ingested_ns": time.time_ns(),
    }
    start_and_live = {key: values.pop(key) for key in ("start", "live") if key in values}
    image = values.pop("image", np.full((*size[::-1], 3), 10 * seq % 250, np.uint8))
    header = Frame(**about, **start_and_live, width=size[0], height=size[1], **values)
    return [Message(header, image), Message(Keypoints(**about, **start_and_live), NO_PERSON)]


def end(seq: int, **values: object) -> Message:
    return Message(
        Keypoints(stream="cam", seq=seq, captured_ns=0, ingested_ns=0, end_of_stream=True, live=False, **values)
    )


def play(stage: Overlay, messages: list[Message]) -> None:
    """Until nothing waits."""
    deadline = time.monotonic() + patience(20)
    stage.step(messages)
    stage.step([])
    while stage.poll_ms == 0:
        assert time.monotonic() < deadline
        stage.step([])
    stage.step([])


def shades(path: Path) -> list[int]:
    capture, found = cv2.VideoCapture(str(path)), []
    while (shown := capture.read())[0]:
        found.append(round(float(np.median(shown[1]))))
    return found


@pytest.fixture
def stages() -> Iterator[list[Overlay]]:
    """Those put in are closed in the end."""
    opened: list[Overlay] = []
    yield opened
    for stage in opened:
        stage.close()


# --- the length of the video ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["repeated_times", "thousand_fps"])
def test_the_video_lasts_as_long_as_the_file_and_shows_every_frame(name: str, shared: Path, tmp_path: Path) -> None:
    source, stage, seq = FileSource(shared / "cases" / f"{name}.webm"), made(tmp_path), 0
    while captured := source.read():
        height, width = captured.image.shape[:2]
        about = {"image": captured.image, "fps": source.fps, "live": False}
        play(stage, frame_and_keypoints(seq, captured.captured_ns, (width, height), **about))
        seq, last_ns = seq + 1, captured.captured_ns
    play(stage, [end(seq)])
    source.close()
    video = cv2.VideoCapture(str(tmp_path / "o.mp4"))
    count, fps = video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS)
    assert count == seq == 150
    assert count / fps == pytest.approx(last_ns / 1e9 + 1 / source.fps, abs=1 / source.fps)


# --- steps ----------------------------------------------------------------------------------------------


def test_a_step_is_short_whatever_waits_and_the_end_counts_when_all_is_drawn(tmp_path: Path) -> None:
    stage = made(tmp_path)
    messages = [message for seq in range(60) for message in frame_and_keypoints(seq, size=(1280, 960), live=False)]
    inbox, steps_s, finished_at = [*messages, end(60)], [], 0
    deadline = time.monotonic() + patience(60)
    while not stage.health.ended_streams:
        assert time.monotonic() < deadline
        began_s = time.monotonic()
        stage.step(inbox)
        steps_s.append(time.monotonic() - began_s)
        inbox, finished_at = [], stage.health.processed
    stage.close()
    assert finished_at == 60 and stage.health.missed == 0
    assert len(steps_s) > 1
    assert max(steps_s) < patience(DRAW_S + 0.1)
    assert DRAW_S < HEARTBEAT_S / 2
    assert cv2.VideoCapture(str(tmp_path / "o.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 60


def test_keypoints_that_never_came_are_counted(tmp_path: Path, stages: list[Overlay]) -> None:
    stage = made(tmp_path)
    stages.append(stage)
    play(stage, [*frame_and_keypoints(3), *frame_and_keypoints(4), *frame_and_keypoints(9)])
    assert stage.health.missed == 4


# --- images that cannot be decoded ----------------------------------------------------------------------


def test_a_bad_jpeg_is_a_missing_frame_counted_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stage = made(tmp_path)
    for seq in range(20):
        bad = {"image": BAD_JPEG, "encoding": "jpeg"} if seq in (3, 5, 6, 7, 8, 9) else {}
        play(stage, frame_and_keypoints(seq, live=False, **bad))
    play(stage, [end(20)])
    stage.close()
    assert stage.health.missed == 6
    assert caplog.text.count("cannot be decoded") == 1
    assert len(shades(tmp_path / "o.mp4")) == 14


# --- a stream that begins anew --------------------------------------------------------------------------


def test_a_file_that_begins_anew_writes_its_video_over(tmp_path: Path) -> None:
    stage = made(tmp_path)
    play(stage, [message for seq in range(8) for message in frame_and_keypoints(seq, start=1, live=False)])
    late = frame_and_keypoints(8, start=1, live=False)
    anew = [message for seq in range(5) for message in frame_and_keypoints(seq, start=2, live=False)]
    play(stage, [*anew[:4], *late, *anew[4:]])  # messages of different topics may overtake each other
    play(stage, [end(8, start=1)])
    assert not stage.health.ended_streams
    play(stage, [end(5, start=2)])
    assert stage.health.ended_streams == {"cam"}
    stage.close()
    assert [path.name for path in tmp_path.iterdir()] == ["o.mp4"]
    assert shades(tmp_path / "o.mp4") == pytest.approx([0, 10, 20, 30, 40], abs=4)


def test_a_camera_that_begins_anew_continues_its_video(tmp_path: Path) -> None:
    stage = made(tmp_path)
    for start in (1, 2):
        play(
            stage,
            [
                message
                for seq in range(5)
                for message in frame_and_keypoints(seq, 1 + start * 10**9 + seq * 40_000_000, start=start)
            ],
        )
    stage.close()
    assert [path.name for path in tmp_path.iterdir()] == ["o.mp4"]
    video = cv2.VideoCapture(str(tmp_path / "o.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 10
    assert 10 / video.get(cv2.CAP_PROP_FPS) == pytest.approx(1 + 5 * 0.04, abs=0.001)


@pytest.mark.parametrize(("live", "videos"), [(False, {"o.mp4": 3}), (True, {"o.mp4": 5, "o-2.mp4": 3})])
def test_a_process_that_crashed_leaves_its_video_to_the_next_one(
    live: bool, videos: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = made(tmp_path)
    play(first, [message for seq in range(5) for message in frame_and_keypoints(seq, start=1, live=live)])
    first.close()
    monkeypatch.setenv(RESTARTED, "1")
    second = made(tmp_path)
    play(second, [message for seq in range(3) for message in frame_and_keypoints(seq, start=2, live=live)])
    second.close()
    assert {path.name: len(shades(path)) for path in tmp_path.iterdir()} == videos


def test_after_a_crash_each_file_keeps_its_video_whichever_is_received_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for start, counts in enumerate([{"cam": 5, "cam2": 3}, {"cam2": 4, "cam": 6}, {"cam2": 2}]):
        stage = made(tmp_path)
        for stream, count in counts.items():
            play(
                stage,
                [m for seq in range(count) for m in frame_and_keypoints(seq, stream=stream, start=start, live=False)],
            )
        stage.close()
        monkeypatch.setenv(RESTARTED, "1")
    assert {path.name: len(shades(path)) for path in tmp_path.iterdir()} == {"o.mp4": 6, "o-cam2.mp4": 2}


def test_another_run_gets_another_name(tmp_path: Path) -> None:
    for _ in range(3):
        stage = made(tmp_path)
        play(stage, frame_and_keypoints(0, live=False))
        stage.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o-2.mp4", "o-3.mp4", "o.mp4"]


# --- memory ---------------------------------------------------------------------------------------------


def without_keypoints(stage: Overlay, streams: tuple[str, ...], count: int) -> dict[str, list["ref[np.ndarray]"]]:
    """Send it so many 4K frames of each live stream; references to their images, as long as they are kept."""
    found: dict[str, list[ref[np.ndarray]]] = {stream: [] for stream in streams}
    for seq in range(count):
        for stream in streams:
            image = np.zeros((2160, 3840, 3), np.uint8)
            found[stream].append(ref(image))
            header = Frame(stream=stream, seq=seq, captured_ns=seq, ingested_ns=0, width=3840, height=2160)
            stage.step([Message(header, image)])
    return found


def test_frames_that_would_not_be_shown_are_not_kept_and_not_missed(stages: list[Overlay]) -> None:
    port = free_ports(1)
    stage = Overlay(config.load(sets=["overlay.window=false", f"overlay.page_port={port}"]))
    stages.append(stage)
    stage.setup()
    held = without_keypoints(stage, ("cam",), 4)["cam"]
    assert not any(image() is not None for image in held)
    for seq in range(4):
        play(stage, [frame_and_keypoints(seq)[1]])
    assert stage.health.processed == 4 and stage.health.missed == 0


def test_all_streams_together_keep_no_more_frames_than_one_may(tmp_path: Path, stages: list[Overlay]) -> None:
    stages.append(made(tmp_path))
    held = without_keypoints(stages[0], ("one", "two", "three"), MEMORY_LIMIT_BYTES // (2160 * 3840 * 3) + 2)
    kept = {stream: [seq for seq, image in enumerate(of) if image() is not None] for stream, of in held.items()}
    assert sum(map(len, kept.values())) == MEMORY_LIMIT_BYTES // (2160 * 3840 * 3 + HEADER_BYTES)
    assert {len(seqs) for seqs in kept.values()} <= {6, 7}
    assert all(seqs[-1] == len(held["one"]) - 1 for seqs in kept.values())  # the newest
