"""The recorder writes complete sequences only, on a real pipeline, whatever is pressed or killed."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from common.bus.connection import Endpoints
from common.bus.messages import Command, Frame, Keypoints, Message, Recording, derive_header
from common.bus.pubsub import Subscriber
from common.config import Settings
from common.frames.sockets import BrokerSockets
from common.recording import sequence as sequences
from common.recording.dataset_writer import DatasetWriter, read_manifest
from services.recorder import Recorder
from tests.pace import patience
from tests.pipeline import ROOT, Pipeline, free_ports, pipeline, python

LABELS = ("nod", "shake", "tilt", "push up/right")
FRAMES = 8


@contextlib.contextmanager
def recorder(port: int, out: Path, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """`python -m services.recorder` beside a pipeline, with keys from a pipe."""
    command = ["-m", "services.recorder", *arguments, "--out", out, "--set", f"bus.port={port}"]
    with python(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=-2) as started:
        yield started


def press(process: "subprocess.Popen[bytes]", key: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(key)
    process.stdin.flush()


def files(out: Path) -> list[Path]:
    return sorted(out.rglob("*.npz"))


def test_twenty_sequences_though_it_is_killed_in_the_middle_and_keys_are_pressed(tmp_path: Path) -> None:
    out, plan = tmp_path / "set", [*LABELS, "--sequences", "5", "--subject", "card", "--frames", str(FRAMES)]
    plan += ["--countdown", "0.2", "--video"]
    with pipeline(tmp_path, without=("windows", "inference", "logger"), camera__source="testcard") as running:
        with recorder(running.port, out, *plan) as process:
            running.wait_for("three sequences", lambda: len(files(out)) >= 3, 60)
            press(process, b"r")  # the last once more
            running.wait_for("seven sequences", lambda: len(files(out)) >= 7, 60)
            process.send_signal(signal.SIGKILL)
        with recorder(running.port, out, *plan) as process:
            assert process.wait(patience(60)) == 0
            assert process.stdout is not None
            log = process.stdout.read().decode()
    assert "nod 5/5, shake" in log  # where it resumed
    assert log.splitlines()[-1].endswith("nod 5/5, shake 5/5, tilt 5/5, push up/right 5/5")
    written = [sequences.read(path) for path in files(out)]
    assert Counter(sequence.label for sequence in written) == dict.fromkeys(LABELS, 5)
    assert {len(sequence.keypoints) for sequence in written} == {FRAMES}
    starts = sorted((sequence.captured_ns[0], sequence.captured_ns[-1]) for sequence in written)
    assert all(end < start for (_, end), (start, _) in pairwise(starts))  # none doubled
    entries = read_manifest(out)
    assert sorted(entries) == [path.relative_to(out).as_posix() for path in files(out)]
    for path in files(out):
        video = cv2.VideoCapture(str(path.with_suffix(".mp4")))
        missing = [issue for issue in entries[path.relative_to(out).as_posix()].issues if "missed" in issue]
        assert video.get(cv2.CAP_PROP_FRAME_COUNT) >= FRAMES or missing


def test_make_record_records_by_itself_and_publishes_what_to_do(tmp_path: Path) -> None:
    port = free_ports(5)
    command = [sys.executable, "-m", "services.launch", "--record", "nod, shake", "--source", "testcard", "--headless"]
    sets = [f"bus.port={port}", f"overlay.page_port={port + 4}", "recorder.sequences=2", "recorder.countdown_s=0.2"]
    command += ["--out", str(tmp_path / "set"), *(word for text in sets for word in ("--set", text))]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, text=True)
    running, received = Pipeline(process, port, tmp_path / "log"), []
    subscriber = Subscriber(running.endpoints, ["recording"])
    try:
        running.wait_for("recording", lambda: bool(received.extend(subscriber.receive(20)) or received), 60)
        while process.poll() is None:
            received.extend(subscriber.receive(100))
        assert process.returncode == 0, running.log
    finally:
        subscriber.close()
        process.terminate()
        process.wait(patience(15))
    assert len(files(tmp_path / "set")) == 4
    states = {header.state for header, _ in received if isinstance(header, Recording)}
    assert states >= {"countdown", "capturing"}
    assert any(header.progress == {"nod": 2, "shake": 1} for header, _ in received if isinstance(header, Recording))


def test_commands_come_over_the_bus(tmp_path: Path) -> None:
    control = [sys.executable, "-m", "services.control", "recorder"]
    with pipeline(
        tmp_path, without=("windows", "inference", "logger", "overlay"), camera__source="testcard"
    ) as running:
        port = ["--set", f"bus.port={running.port}"]
        alone = subprocess.run([*control, "stop", *port], cwd=ROOT, capture_output=True, text=True, check=False)
        assert alone.returncode == 2
        assert "accepts commands" in alone.stderr
        with recorder(running.port, tmp_path / "set", "nod", "--countdown", "0.2") as process:
            running.wait_for("a sequence", lambda: len(files(tmp_path / "set")) >= 1, 40)
            subprocess.run([*control, "stop", *port], cwd=ROOT, check=True)
            assert process.wait(patience(10)) == 0


def test_keys_typed_in_a_terminal_need_no_return(tmp_path: Path, stack: contextlib.ExitStack) -> None:
    ours, theirs = pty.openpty()
    stack.callback(os.close, ours)
    stack.callback(os.close, theirs)
    command = ["-m", "services.recorder", "nod", "--out", tmp_path / "set", "--set", f"bus.port={free_ports(4)}"]
    with python(*command, stdin=theirs, stderr=subprocess.PIPE, start_new_session=True) as process:
        assert process.stderr is not None
        while line := process.stderr.readline():
            if b"keys:" in line:
                break
        os.write(ours, b"q")
        assert process.wait(patience(10)) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "No label to record"),
        ([""], "cannot name a label"),
        (["../wave"], "cannot name a label"),
        (["a/b/c"], "more than two levels"),
        (["x" * 300], "more than 100 bytes"),
        (["👋"], "cannot name a label"),
        (["wave", "--subject", "../anna"], "cannot name"),
        (["wave", "--frames", "2"], "recorder.frames"),
        (["wave", "--sequences", "many"], "recorder.sequences"),
    ],
)
def test_names_and_numbers_that_will_not_do(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    with recorder(free_ports(4), tmp_path / "set", *arguments) as process:
        assert process.wait(patience(20)) == 2
        assert process.stdout is not None
        said = process.stdout.read().decode()
    assert sentence in said
    assert said.count("\n") == 1, said
    assert not files(tmp_path)


def test_two_recorders_do_not_write_the_same_data_set(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "set"), recorder(free_ports(4), tmp_path / "set", "wave") as process:
        assert process.wait(patience(20)) == 2
        assert process.stdout is not None
        assert "Another program is writing" in process.stdout.read().decode()


def test_a_disk_that_is_full_pauses_and_nothing_is_lost(
    settings: Settings, recording: list[Message], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replays a recording through `step`; a file in the place of a folder stands for the full disk."""
    chosen = msgspec.structs.replace(
        settings.recorder, out=str(tmp_path / "set"), labels=["nod"], frames=FRAMES, countdown_s=0.0, sequences=3
    )
    made = Recorder(msgspec.structs.replace(settings, recorder=chosen))
    made.setup()
    frames = [message for message in recording if not message.header.end_of_stream]
    first = list(made.step(frames[:FRAMES]))
    assert len(files(tmp_path / "set")) == 1
    assert [header.frames for header, _ in first if isinstance(header, Recording)] == [*range(1, FRAMES), 0]
    (tmp_path / "set/nod").rename(tmp_path / "set/away")
    (tmp_path / "set/nod").write_text("no folder")
    (last,) = list(made.step(frames[FRAMES : 2 * FRAMES]))[-1:]
    assert isinstance(last.header, Recording)
    assert last.header.state == "paused"
    assert "cannot be written" in last.header.detail
    (tmp_path / "set/nod").unlink()
    (tmp_path / "set/away").rename(tmp_path / "set/nod")
    resume = Message(Command(stream="recorder", seq=0, captured_ns=0, ingested_ns=0, command="pause"))
    list(made.step([resume, *frames[2 * FRAMES : 4 * FRAMES]]))
    assert made.done
    made.close()
    assert len(files(tmp_path / "set")) == 3
    assert isinstance(frames[0].header, Keypoints)


# --- videos ---------------------------------------------------------------------------------------------


def filming(settings: Settings, folder: Path, sequences: int = 1) -> Recorder:
    """A recorder that keeps videos, ready."""
    chosen = msgspec.structs.replace(
        settings.recorder,
        out=str(folder),
        labels=["nod"],
        frames=FRAMES,
        countdown_s=0.0,
        sequences=sequences,
        video=True,
    )
    made = Recorder(msgspec.structs.replace(settings, recorder=chosen))
    made.setup()
    return made


def frame_and_keypoints(message: Message, seq: int, captured_ns: int, **values: object) -> list[Message]:
    """A recording's keypoints as those of another frame, and that frame; shade is its number times ten."""
    header = msgspec.structs.replace(message.header, seq=seq, captured_ns=captured_ns)
    image = np.full((48, 64, 3), 10 * seq % 250, np.uint8)
    frame = derive_header(header, Frame, width=64, height=48, **values)
    return [Message(frame, np.frombuffer(b"none", np.uint8) if values else image), Message(header, message.array)]


def film_of(folder: Path) -> tuple[list[int], list[int], list[str]]:
    """Shades and milliseconds of the one sequence's video, and the sequence's issues."""
    (entry,) = read_manifest(folder).values()
    video, shades, times = cv2.VideoCapture(str((folder / entry.file).with_suffix(".mp4"))), [], []
    while (shown := video.read())[0]:
        shades.append(round(float(shown[1].mean()) / 10))
        times.append(round(video.get(cv2.CAP_PROP_POS_MSEC)))
    return shades, times, entry.issues


def test_a_sequences_video_has_its_frames_with_their_times_however_uneven(
    settings: Settings, recording: list[Message], tmp_path: Path
) -> None:
    late_ms = [0, 3, -3, 3, 0, -3, 2, 3]
    times_ms = [15 * seq + late for seq, late in enumerate(late_ms)]  # 66.7 frames/s, which MPEG-4 cannot name
    made = filming(settings, tmp_path)
    for seq, (message, at_ms) in enumerate(zip(recording, times_ms, strict=False)):
        list(made.step(frame_and_keypoints(message, seq, at_ms * 1_000_000)))
    made.close()
    shades, times, issues = film_of(tmp_path)
    assert shades == list(range(FRAMES))
    assert times == pytest.approx(times_ms, abs=1)
    assert issues == []


def test_frames_of_a_fast_camera_that_were_not_processed_are_in_the_manifest(
    settings: Settings, recording: list[Message], tmp_path: Path
) -> None:
    made = filming(settings, tmp_path)
    for seq, message in enumerate(recording[: 3 * FRAMES]):
        frame, keypoints = frame_and_keypoints(message, seq, seq * 10_000_000)
        list(made.step([frame] if seq % 3 else [frame, keypoints]))
    made.close()
    shades, times, issues = film_of(tmp_path)
    assert shades == list(range(0, 3 * FRAMES, 3))
    assert times == pytest.approx(range(0, 30 * FRAMES, 30), abs=1)
    assert issues == [f"{2 * (FRAMES - 1)} of {3 * FRAMES - 2} frames missed"]


def test_frames_that_are_lost_or_bad_are_in_the_manifest(
    settings: Settings, recording: list[Message], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = filming(settings, tmp_path)
    for seq, message in enumerate(recording[:FRAMES]):
        frame, keypoints = frame_and_keypoints(
            message, seq, seq * 40_000_000, **({"encoding": "jpeg"} if seq == 5 else {})
        )
        list(made.step([keypoints] if seq == 2 else [frame, keypoints]))
    made.close()
    shades, _, issues = film_of(tmp_path)
    assert shades == [0, 1, 3, 4, 6, 7]
    assert issues == [f"2 of {FRAMES} frames missing from the video"]
    assert caplog.text.count("cannot be decoded") == 1


def test_frames_of_a_sequence_that_was_not_completed_are_not_in_the_next(
    settings: Settings, recording: list[Message], tmp_path: Path
) -> None:
    made = filming(settings, tmp_path)
    pause = Message(Command(stream="recorder", seq=0, captured_ns=0, ingested_ns=0, command="pause"))
    for seq, message in enumerate(recording[: FRAMES + 6]):
        list(made.step(([pause] if seq in (5, 6) else []) + frame_and_keypoints(message, seq, seq * 40_000_000)))
    made.close()
    assert film_of(tmp_path)[0] == list(range(6, 6 + FRAMES))
    assert sorted(path.suffix for path in tmp_path.rglob("nod/*")) == [".mp4", ".npz"]
    assert not list(tmp_path.rglob("*.part"))


def test_a_reader_that_reads_seldom_loses_no_frame() -> None:
    """40 frames of 1080p, 25 a second; queues of four messages lost a dozen of them."""
    endpoints = Endpoints(port=free_ports(4))
    with (
        contextlib.closing(BrokerSockets(endpoints)) as hub,
        contextlib.closing(Subscriber(endpoints, ["frames"])) as reader,
    ):
        image, seen = np.zeros((1080, 1920, 3), np.uint8).tobytes(), list[int]()
        about_all = {"stream": "cam", "captured_ns": 0, "ingested_ns": 0}
        deadline = time.monotonic() + patience(20)
        while not reader.receive(10):  # the hub has not received its subscription yet
            assert time.monotonic() < deadline
            hub.publish_frame(Frame(**about_all, seq=0, width=1, height=1), bytes(3))
        for seq in range(1, 41):
            hub.publish_frame(Frame(**about_all, seq=seq, width=1920, height=1080), image)
            next_s = time.monotonic() + 0.04
            if seq % 10 == 0:
                seen += [header.seq for header, _ in reader.receive(0)]
            time.sleep(max(0.0, next_s - time.monotonic()))
        deadline = time.monotonic() + patience(2)
        while 40 not in seen and time.monotonic() < deadline:
            seen += [header.seq for header, _ in reader.receive(10)]
    assert [seq for seq in seen if seq] == list(range(1, 41))
