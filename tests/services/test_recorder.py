"""The recorder on a real pipeline: whole sequences only, whatever is pressed or killed; and what it refuses."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import msgspec
import pytest

from common import sequence as sequences
from common.bus import Subscriber
from common.collection import Collection, read_manifest
from common.config import Settings
from common.messages import Command, Keypoints, Message, Recording
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
    out, plan = tmp_path / "set", [*LABELS, "--sequences", "5", "--recorder", "card", "--frames", str(FRAMES)]
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
    assert "nod 5/5, shake" in log  # where it went on
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
        missing = [flaw for flaw in entries[path.relative_to(out).as_posix()].flaws if "missed" in flaw]
        assert video.get(cv2.CAP_PROP_FRAME_COUNT) >= FRAMES or missing


def test_make_record_records_by_itself_and_tells_everybody_what_to_do(tmp_path: Path) -> None:
    port = free_ports(5)
    command = [sys.executable, "-m", "services.start", "--record", "nod, shake", "--source", "testcard", "--headless"]
    sets = [f"bus.port={port}", f"overlay.page_port={port + 4}", "recorder.sequences=2", "recorder.countdown_s=0.2"]
    command += ["--out", str(tmp_path / "set"), *(word for text in sets for word in ("--set", text))]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, text=True)
    running, heard = Pipeline(process, port, tmp_path / "log"), []
    subscriber = Subscriber(running.endpoints, ["recording"])
    try:
        running.wait_for("recording", lambda: bool(heard.extend(subscriber.receive(20)) or heard), 60)
        while process.poll() is None:
            heard.extend(subscriber.receive(100))
        assert process.returncode == 0, running.log
    finally:
        subscriber.close()
        process.terminate()
        process.wait(patience(15))
    assert len(files(tmp_path / "set")) == 4
    states = {header.state for header, _ in heard if isinstance(header, Recording)}
    assert states >= {"countdown", "capturing"}
    assert any(header.progress == {"nod": 2, "shake": 1} for header, _ in heard if isinstance(header, Recording))


def test_commands_come_over_the_bus(tmp_path: Path) -> None:
    tell = [sys.executable, "-m", "services.tell", "recorder"]
    with pipeline(
        tmp_path, without=("windows", "inference", "logger", "overlay"), camera__source="testcard"
    ) as running:
        port = ["--set", f"bus.port={running.port}"]
        alone = subprocess.run([*tell, "stop", *port], cwd=ROOT, capture_output=True, text=True, check=False)
        assert alone.returncode == 2
        assert "takes commands" in alone.stderr
        with recorder(running.port, tmp_path / "set", "nod", "--countdown", "0.2") as process:
            running.wait_for("a sequence", lambda: len(files(tmp_path / "set")) >= 1, 40)
            subprocess.run([*tell, "stop", *port], cwd=ROOT, check=True)
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
        (["wave", "--recorder", "../anna"], "cannot name"),
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
    with Collection(tmp_path / "set"), recorder(free_ports(4), tmp_path / "set", "wave") as process:
        assert process.wait(patience(20)) == 2
        assert process.stdout is not None
        assert "Another program is writing" in process.stdout.read().decode()


def test_a_disk_that_is_full_pauses_and_nothing_is_lost(
    settings: Settings, recording: list[Message], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replays a recording through `step`; a folder that is no folder stands for the disk that takes nothing."""
    chosen = msgspec.structs.replace(
        settings.recorder, out=str(tmp_path / "set"), labels=["nod"], frames=FRAMES, countdown_s=0.0, sequences=3
    )
    made = Recorder(msgspec.structs.replace(settings, recorder=chosen))
    made.setup()
    frames = [message for message in recording if not message.header.end]
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
    go_on = Message(Command(stream="recorder", seq=0, captured_ns=0, entered_ns=0, command="pause"))
    list(made.step([go_on, *frames[2 * FRAMES : 4 * FRAMES]]))
    assert made.over
    made.close()
    assert len(files(tmp_path / "set")) == 3
    assert isinstance(frames[0].header, Keypoints)
