"""What a user can get wrong: each time one sentence, exit code 2, no traceback, and nothing written."""

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import cv2

from common.errors import EXIT_USER_ERROR
from common.video.testcard import TestCard
from tests.pace import patience
from tests.pipeline import ROOT, free_ports, pipeline


def start(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """`make run`, which calls this, on unused ports."""
    port = free_ports(5)
    command = [sys.executable, "-m", "services.launch", "--set", f"bus.port={port}"]
    return subprocess.run(
        [*command, "--set", f"overlay.page_port={port + 4}", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=patience(60),
        check=False,
    )


def refused(*arguments: str, **environment: str) -> str:
    """The one sentence."""
    done = start(*arguments, **environment)
    assert done.returncode == EXIT_USER_ERROR, done
    assert not done.stdout
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.endswith(".\n") or done.stderr.endswith("?\n")
    return done.stderr


def model(folder: Path, **changes: object) -> Path:
    shutil.copytree(ROOT / "pretrained" / "testcard", folder)
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | changes))
    return folder


def test_no_such_file(tmp_path: Path):
    assert "no file, folder or camera" in refused("--source", str(tmp_path / "none.mp4"))


def test_a_text_that_calls_itself_a_video(tmp_path: Path):
    (tmp_path / "text.mp4").write_text("This is not a video.\n" * 50)
    assert "not a video that can be decoded" in refused("--source", str(tmp_path / "text.mp4"))


def test_an_empty_file(tmp_path: Path):
    (tmp_path / "empty.mp4").touch()
    assert "0 bytes" in refused("--source", str(tmp_path / "empty.mp4"))


def test_a_folder_without_images(tmp_path: Path):
    assert "no images" in refused("--source", str(tmp_path))


def test_a_camera_that_does_not_exist_names_those_that_do():
    message = refused("--source", "97")
    assert "Camera 97 does not open" in message
    assert "cameras that do: " in message


def test_a_model_folder_that_is_none(tmp_path: Path):
    assert "not a model folder" in refused("--source", "testcard", "--model", str(tmp_path))


def test_a_model_of_another_window_length():
    message = refused("--source", "testcard", "--set", "windows.length=20")
    assert "30 frames" in message
    assert "20" in message


def test_a_model_of_another_layout(tmp_path: Path):
    message = refused("--source", "testcard", "--model", str(model(tmp_path / "m", layout="holistic-543")))
    assert "holistic-543" in message
    assert "holistic-1662" in message


def test_an_unknown_setting():
    message = refused(ACTIONSTREAM__CAMERA__BREADTH="640")
    assert "ACTIONSTREAM__CAMERA__BREADTH: camera.breadth: no such setting" in message


def test_a_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = occupied.getsockname()[1]
        message = refused("--source", "testcard", "--set", f"overlay.page_port={port}")
    assert f"Port {port} on 127.0.0.1 is in use" in message


def test_a_run_that_is_there_already(tmp_path: Path):
    (tmp_path / "run.json").write_text("{}")
    assert "already holds a run" in refused("--source", "testcard", "--out", str(tmp_path))
    assert (tmp_path / "run.json").read_text() == "{}"


def test_the_same_mistakes_without_the_check_end_honcho_with_their_code(tmp_path: Path):
    """`honcho start` by hand: the service says it, its supervisor does not restart it."""
    with pipeline(tmp_path, camera__source=tmp_path / "none.mp4") as running:
        assert running.wait(60) == EXIT_USER_ERROR
    assert running.log.count("no file, folder or camera") == 1
    assert "Traceback" not in running.log


def test_a_damaged_video_gives_what_can_be_decoded_and_says_so(tmp_path: Path):
    path, card = tmp_path / "cut.avi", TestCard(3)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (640, 480))
    for number in range(60):
        writer.write(card.frame(number / 25))
    writer.release()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pipeline(tmp_path, without=("overlay",), camera__source=path, logger__out=tmp_path / "out") as running:
        assert running.wait(120) == 0, running.log
    seqs = [json.loads(line)["seq"] for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()]
    assert 20 < len(seqs) < 40
    assert seqs == list(range(len(seqs)))
    assert "of which" in running.log
    assert "could be decoded" in running.log


def test_a_full_disk_is_reported_and_nothing_is_lost_when_there_is_room_again(tmp_path: Path):
    """A limit on the size of files stands for the full disk: the write fails in the same way."""
    out = tmp_path / "out"
    with pipeline(
        tmp_path, without=("overlay",), camera__source="testcard", camera__seconds=16, logger__out=out
    ) as run:
        run.wait_for("the log", lambda: out.exists() and (out / "predictions.jsonl").exists(), 60)
        run.wait_for("lines", lambda: (out / "predictions.jsonl").stat().st_size > 500, 60)
        (pid,) = run.pids_now("logger")
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
        run.wait_for("the complaint", lambda: "its lines wait in memory" in run.log, 20)
        content = (out / "predictions.jsonl").read_text()
        assert content.endswith("\n")
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert run.wait(60) == 0, run.log
    assert "nothing was lost" in run.log
    lines = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert [line["seq"] for line in lines] == sorted({line["seq"] for line in lines})
    assert json.loads((out / "run.json").read_text())["state"] == "complete"
    counts = json.loads((out / "run.json").read_text())["streams"]["cam"]
    assert len(lines) == counts["predicted"] + counts["too early for a window"]
