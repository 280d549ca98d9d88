"""The real Procfile: camera to actions, crashes, signals, slow and late listeners."""

import contextlib
import json
import os
import signal
import time
from pathlib import Path

import cv2
import psutil
import pytest

from common.bus.connection import Endpoints
from common.bus.messages import Action, Keypoints, Prediction, Status
from common.bus.pubsub import Subscriber
from common.video.testcard import TestCard, schedule
from tests.events import Span, f1, spans
from tests.mjpeg import network_camera
from tests.pace import patience
from tests.pipeline import ROOT, Pipeline, collect, free_ports, pipeline, python

SECONDS = 24.0  # of the test card: ends within a rest
FRAMES = 70  # of a file
LISTENER = """
import sys
from common.bus.client import listen
for _ in listen("keypoints", "windows", "frames", port=int(sys.argv[1])):
    pass
"""
IMPORTS_S = 30.0  # tensorflow and mediapipe, on a busy machine


def opened(running: Pipeline, *topics: str) -> "contextlib.closing[Subscriber]":
    return contextlib.closing(Subscriber(running.endpoints, topics))


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_test_card_gives_the_actions_of_its_schedule(tmp_path: Path):
    out = tmp_path / "out"
    # At 12.5 frames/s two pipelines fit onto two cores: at 25, beside another one, two of three frames are skipped.
    settings = {"camera__source": "testcard", "camera__seconds": SECONDS, "camera__fps": 12.5, "logger__out": out}
    with pipeline(tmp_path, **settings, overlay__video=out / "overlay.mp4") as running:
        assert running.wait(120) == 0, running.log
    true = [Span(*segment) for segment in schedule(0, SECONDS) if segment.label != "rest"]
    score, invented = f1(spans(lines(out / "actions.jsonl")), true)
    assert score >= 0.9, running.log
    assert not invented
    run = json.loads((out / "run.json").read_text())
    assert run["state"] == "complete"
    assert not run["lost_services"]
    video = cv2.VideoCapture(str(out / "overlay.mp4"))
    length_s = video.get(cv2.CAP_PROP_FRAME_COUNT) / video.get(cv2.CAP_PROP_FPS)
    assert length_s == pytest.approx(SECONDS, abs=1)  # however many frames of it were skipped


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "card: one.mp4"
    writer, card = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (640, 480)), TestCard(3)
    for number in range(FRAMES):
        writer.write(card.frame(number / 25))
    writer.release()
    return path


def test_a_file_loses_no_frame_whatever_is_killed(clip: Path, tmp_path: Path):
    out = tmp_path / "out"
    settings = {"camera__source": json.dumps(str(clip)), "logger__out": out, "overlay__video": out / "overlay.mp4"}
    settings |= {"camera__width": 1920}  # frames that the overlay draws more slowly than two extractors find
    with pipeline(tmp_path, keypoints=2, **settings) as running, opened(running, "keypoints") as subscriber:
        starts: set[int] = set()

        def begins_anew() -> bool:
            before = len(starts)
            starts.update(header.start for header, _ in subscriber.receive(20))
            return len(starts) > before

        for service in ("hub", "windows", "inference", "camera", "logger", "overlay", "keypoints"):
            running.wait_for(f"keypoints of another beginning, to kill {service}", begins_anew, 60)
            os.kill(running.pids_now(service)[0], signal.SIGKILL)
        assert running.wait(120) == 0, running.log
    predictions = lines(out / "predictions.jsonl")
    assert [line["seq"] for line in predictions] == list(range(FRAMES))
    assert [line["seq"] for line in predictions if line["label"] is None] == list(range(29))
    assert cv2.VideoCapture(str(out / "overlay.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == FRAMES
    assert [path.name for path in out.glob("overlay*")] == ["overlay.mp4"]
    run = json.loads((out / "run.json").read_text())
    assert run["state"] == "complete"
    assert run["streams"]["cam"]["frames"] == FRAMES
    assert running.log.count("and its state of the stream is lost") == 5  # the camera and an extractor keep no state


def test_what_is_killed_comes_back_and_a_signal_ends_all_in_order(tmp_path: Path):
    out = tmp_path / "out"
    settings = {"camera__source": "testcard", "logger__out": out, "overlay__video": out / "overlay.mp4"}
    with pipeline(tmp_path, **settings) as running, opened(running, "prediction") as subscriber:
        wait_for_prediction(running, subscriber)
        for service in ("windows", "logger", "hub", "keypoints", "camera", "overlay", "inference"):
            (pid,) = running.pids_now(service)
            os.kill(pid, signal.SIGKILL)
            running.wait_for(f"a new {service}", lambda s=service, p=pid: running.pids_now(s) not in ([], [p]), 5)
            if service != "overlay":
                wait_for_prediction(running, subscriber)
            assert f"{service} was killed by SIGKILL; starting it again" in running.log
        supervisors = psutil.Process(running.process.pid).children()
        running.process.send_signal(signal.SIGINT)
        running.wait(6)
        assert not psutil.wait_procs(supervisors, timeout=patience(1))[1]
    stopped = [line for line in running.log.splitlines() if "stopped (rc=" in line]
    assert len(stopped) == 7
    assert all("rc=0" in line for line in stopped), running.log
    assert lines(out / "predictions.jsonl")
    assert json.loads((out / "run.json").read_text())["state"] == "stopped"
    assert {path.name for path in out.glob("overlay*")} == {"overlay.mp4", "overlay-2.mp4"}
    for name in ("overlay.mp4", "overlay-2.mp4"):  # of the overlay that was killed, and of the one after it
        assert cv2.VideoCapture(str(out / name)).read()[0], name


def wait_for_prediction(running: Pipeline, subscriber: Subscriber) -> None:
    """A new one, of a frame that entered after this call."""
    now_ns = time.time_ns()

    def came() -> bool:
        return any(
            isinstance(header, Prediction) and header.ingested_ns > now_ns and header.label
            for header, _ in subscriber.receive(50)
        )

    running.wait_for("predictions", came, IMPORTS_S)


def test_a_disconnected_camera_is_reopened_and_meanwhile_status_says_so(tmp_path: Path):
    card, port = TestCard(0, 320, 240), free_ports(10) + 9  # the first ones will be the pipeline's
    images = [card.frame(number / 25) for number in range(250)]
    others = ("windows", "inference", "overlay", "logger")
    source = json.dumps(f"http://127.0.0.1:{port}/video.mjpg")
    with (
        pipeline(tmp_path, without=others, camera__source=source) as running,
        opened(running, "keypoints", "status") as subscriber,
    ):

        def keypoints_came() -> bool:
            return any(isinstance(header, Keypoints) for header, _ in subscriber.receive(50))

        def camera_waits() -> bool:
            said = [header for header, _ in subscriber.receive(50) if isinstance(header, Status)]
            return any(status.state == "waiting" and "trying again" in status.detail for status in said)

        for _ in range(2):
            running.wait_for("a status that says that the camera is not there", camera_waits, 30)
            with network_camera(images, port, fps=25):
                running.wait_for("keypoints", keypoints_came, 30)
    assert running.log.count("is back") == 2


def test_slow_listeners_delay_no_other_and_late_ones_receive_the_next_action(
    tmp_path: Path, stack: contextlib.ExitStack
):
    omitted, late, ages_ms, subscriber_s = ("overlay", "logger"), None, [], 0.0
    with (
        pipeline(tmp_path, without=omitted, camera__source="testcard", camera__seconds=18) as running,
        python("-c", LISTENER, running.port) as slow,
    ):
        for arrived_ns, (header, _) in collect(running, ["prediction"], 120):
            if header.label and header.seq > 60:
                ages_ms.append((arrived_ns - header.ingested_ns) / 1e6)
            if header.seq >= 60:
                slow.send_signal(signal.SIGSTOP)
            if header.seq >= 120 and late is None:
                late, subscriber_s = stack.enter_context(opened(running, "action")), header.captured_ns / 1e9
        assert late is not None
        received = [header for header, _ in late.receive(1000)]
    assert received
    assert isinstance(received[0], Action)
    assert subscriber_s < 18
    half = len(ages_ms) // 2
    first, second = sorted(ages_ms[:half])[half // 2], sorted(ages_ms[half:])[half // 2]
    assert second < 2 * first + 1000 * patience(0.1), "age grows"


def test_a_robot_needs_only_pyzmq_and_msgpack(tmp_path: Path):
    """Python without site-packages, but for these two."""
    import msgpack
    import zmq  # noqa: TID251

    site = tmp_path / "site"
    site.mkdir()
    for module in (Path(msgpack.__file__).parent, Path(zmq.__file__).parent):
        (site / module.name).symlink_to(module)
    for libraries in Path(zmq.__file__).parent.parent.glob("pyzmq*"):
        (site / libraries.name).symlink_to(libraries)
    example = ROOT / "examples" / "plain_zmq.py"
    env = {"XDG_STATE_HOME": os.environ["XDG_STATE_HOME"], "PYTHONPATH": str(site)}
    said = (tmp_path / "said").open("w")
    omitted = ("overlay", "logger")
    Endpoints().token()  # whoever comes first makes it
    with (
        said,
        pipeline(tmp_path, without=omitted, camera__source="testcard", camera__seconds=8) as running,
        python(
            "-S", "-u", example, env={**env, "ACTIONSTREAM__BUS__PORT": str(running.port)}, stdout=said, stderr=said
        ) as robot,
    ):
        assert running.wait(120) == 0
        robot.terminate()
    said_text = (tmp_path / "said").read_text()
    topics = {line.split("/")[0] for line in said_text.splitlines()}
    assert {"keypoints", "windows", "prediction", "action", "status"} <= topics, said_text
    assert "Traceback" not in said_text
