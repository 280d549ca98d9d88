"""A run is recorded, and what is played back gives what it gave live; what was cut says so."""

import json
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from common.bus.messages import Keypoints
from common.recording.mcap_file import BusReader
from tests.pace import patience
from tests.pipeline import ROOT, free_ports, pipeline, python

SECONDS = 8
TOPICS = ("frames", "keypoints", "windows", "prediction", "action", "status")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def record_bus(port: int, out: Path, *arguments: str) -> "AbstractContextManager[subprocess.Popen[str]]":
    command = ["-m", "services.record_bus", "--out", out, *arguments, "--set", f"bus.port={port}"]
    return python(*command, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with run.mcap, cut.mcap (its recorder was killed) and the log of the live run."""
    folder = tmp_path_factory.mktemp("live")
    settings = {"camera__source": "testcard", "camera__seconds": SECONDS, "logger__out": folder / "log"}
    settings["camera__wait_for"] = "[keypoints, windows, inference, logger, record_bus, record_bus]"
    with pipeline(folder, without=("overlay",), **settings) as running:
        with (
            record_bus(running.port, folder / "run.mcap", "--topics", *TOPICS) as whole,
            record_bus(running.port, folder / "cut.mcap") as cut,
        ):
            running.wait_for("a part on the disk", lambda: _size(folder / "cut.mcap") > 200_000, 90)
            cut.kill()
            assert running.wait(90) == 0, running.log
            _, said = whole.communicate(timeout=patience(20))
        assert whole.returncode == 0, said
        assert "all streams ended" in said
    return folder


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def replay(folder: Path, recording: Path, *arguments: str) -> str:
    """`make replay`, which calls this; what it said."""
    port = free_ports(5)
    command = [sys.executable, "-m", "services.launch", "--replay", str(recording), "--out", str(folder), "--headless"]
    command += ["--set", f"bus.port={port}", "--set", f"overlay.page_port={port + 4}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=patience(100), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def assert_same(live: Path, again: Path) -> None:
    """A busy machine skips windows live; every prediction that was made then is made again, and the same actions."""
    made = {line["seq"]: line for line in lines(again / "predictions.jsonl")}
    for line in lines(live / "predictions.jsonl"):
        other = made[line["seq"]]
        assert line.pop("probabilities") == pytest.approx(other.pop("probabilities"), abs=1e-4)
        assert line.pop("confidence") == pytest.approx(other.pop("confidence"), abs=1e-4)
        assert line == other
    assert lines(again / "actions.jsonl"), "no action to compare"
    for line, other in zip(lines(live / "actions.jsonl"), lines(again / "actions.jsonl"), strict=True):
        assert (line["label"], line["event"]) == (other["label"], other["event"])
        assert line["start_s"] == pytest.approx(other["start_s"], abs=0.2)


@pytest.mark.parametrize(("stage", "speed"), [("keypoints", "0"), ("keypoints", "4"), ("windows", "0")])
def test_a_replay_gives_what_the_live_run_gave(recorded: Path, tmp_path: Path, stage: str, speed: str) -> None:
    said = replay(tmp_path / "out", recorded / "run.mcap", "--stage", stage, "--speed", speed)
    assert "incomplete" not in said
    assert_same(recorded / "log", tmp_path / "out")
    assert json.loads((tmp_path / "out/run.json").read_text())["state"] == "complete"


def test_frames_are_played_through_holistic_again(recorded: Path, tmp_path: Path) -> None:
    replay(tmp_path / "out", recorded / "run.mcap", "--stage", "frames", "--speed", "0")
    frames = [h for h in BusReader(recorded / "run.mcap") if type(h.message.header).__name__ == "Frame"]
    assert [line["captured_ns"] for line in lines(tmp_path / "out/predictions.jsonl")] == [
        received.message.header.captured_ns for received in frames
    ]
    assert {line["label"] for line in lines(tmp_path / "out/actions.jsonl")} >= {"nod"}
    assert (tmp_path / "out/overlay.mp4").exists()


def test_predictions_are_played_to_those_who_listen(recorded: Path, tmp_path: Path) -> None:
    replay(tmp_path / "out", recorded / "run.mcap", "--stage", "prediction", "--speed", "0")
    assert lines(tmp_path / "out/predictions.jsonl") == lines(recorded / "log/predictions.jsonl")


def test_a_recording_that_was_cut_is_played_to_the_cut_and_says_so(recorded: Path, tmp_path: Path) -> None:
    reader = BusReader(recorded / "cut.mcap")
    seqs = [received.message.header.seq for received in reader if isinstance(received.message.header, Keypoints)]
    assert reader.end is None
    said = replay(tmp_path / "out", recorded / "cut.mcap", "--speed", "0")
    assert "is incomplete" in said
    assert [line["seq"] for line in lines(tmp_path / "out/predictions.jsonl")] == seqs


def test_a_recording_is_framed_by_settings_and_reason(recorded: Path) -> None:
    reader = BusReader(recorded / "run.mcap")
    counts = {type(received.message.header).__name__ for received in reader}
    assert counts == {"Frame", "Keypoints", "Window", "Prediction", "Action", "Status"}
    assert json.loads(reader.begin["settings"])["camera"]["source"] is not None
    assert reader.end is not None
    assert reader.end["reason"] == "all streams ended"


@pytest.mark.parametrize(
    ("service", "arguments", "sentence"),
    [
        ("record_bus", [], "No file to record to"),
        ("record_bus", ["--out", "{folder}"], "is there already"),
        ("record_bus", ["--out", "{folder}/no/such/folder/a.mcap"], "cannot be written"),
        ("replay", [], "No recording to play"),
        ("replay", ["{folder}/none.mcap"], "cannot be read"),
        ("replay", ["README.md"], "not a recording"),
        ("replay", ["README.md", "--stage", "faces"], "replay.stage: one of frames, keypoints"),
        ("replay", ["README.md", "--speed", "fast"], "replay.speed"),
    ],
)
def test_mistakes(service: str, arguments: list[str], sentence: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", f"services.{service}", "--set", f"bus.port={free_ports(4)}"]
    command += [argument.format(folder=tmp_path) for argument in arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=patience(30), check=False)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


def test_a_stage_that_was_not_recorded_is_named(recorded: Path) -> None:
    command = [sys.executable, "-m", "services.replay", str(recorded / "cut.mcap"), "--stage", "windows"]
    command += ["--set", f"bus.port={free_ports(4)}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=patience(30), check=False)
    assert (done.returncode, done.stderr.count("holds nothing of windows")) == (2, 1)
