"""Replays a recording through each stage's step and looks at what it would have sent."""

import json
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from common import config
from common.bus.messages import Action, Frame, Keypoints, Message, Prediction, Status, Window, derive_header
from common.errors import UserError
from common.keypoints.landmarks import SIZE
from common.runtime.service import Service
from common.runtime.watchdog import RESTARTED
from common.video.testcard import TestCard, schedule
from services.inference import Inference
from services.logger import Logger
from services.overlay import Overlay
from services.windows import Windows
from tests.events import Span, f1


def play(service: Service, messages: list[Message], at_once: int = 1) -> list[Message]:
    """All that a service sends in answer to messages that come `at_once` at a time."""
    sent: list[Message] = []
    for first in range(0, len(messages), at_once):
        sent += service.step(messages[first : first + at_once])
    return sent


def rounded(value: object) -> object:
    """Without the last digits, in which a batch of eight differs from one of one."""
    if isinstance(value, msgspec.Struct):
        return rounded(msgspec.structs.asdict(value))
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return round(value, 4) if isinstance(value, float) else value


@pytest.fixture(scope="module")
def windows(recording: list[Message]) -> list[Message]:
    stage = Windows(config.load())
    stage.setup()
    return play(stage, recording)


@pytest.fixture(scope="module")
def inference() -> Inference:
    stage = Inference(config.load())
    stage.setup()
    return stage


@pytest.fixture(scope="module")
def predictions(inference: Inference, windows: list[Message]) -> list[Message]:
    return play(inference, windows)


def test_windows_follow_every_frame_and_say_how_far_they_are(recording, windows):
    assert [m.header.seq for m in windows] == [m.header.seq for m in recording]
    assert all(isinstance(m.header, Window) for m in windows)
    assert [m.header.filled for m in windows[:30]] == list(range(1, 31))
    assert windows[28].array.shape == (0, SIZE)
    assert windows[29].array.shape == (30, SIZE)
    np.testing.assert_allclose(windows[29].array, np.stack([m.array for m in recording[:30]]), atol=1e-6)
    assert windows[-1].header.end_of_stream


def test_a_gap_begins_a_new_window(recording):
    stage = Windows(config.load())
    stage.setup()
    sent = play(stage, recording[:40] + recording[80:100])
    assert [m.header.filled for m in sent[40:]] == list(range(1, 21))


def test_streams_do_not_mix(recording):
    stage = Windows(config.load())
    stage.setup()
    other = [Message(msgspec.structs.replace(m.header, stream="other"), m.array * 0) for m in recording[:35]]
    sent = play(stage, [message for pair in zip(recording[:35], other, strict=True) for message in pair])
    assert all((m.array != 0).any() == (m.header.stream == "cam") for m in sent if len(m.array))


def test_the_actions_are_those_of_the_schedule(predictions):
    actions = [m.header for m in predictions if isinstance(m.header, Action) and m.header.event == "ended"]
    found = [Span(a.label, a.start_s, a.end_s) for a in actions if not a.end_of_stream]
    true = [Span(*segment) for segment in schedule(0, 12.0) if segment.label != "rest"]
    score, invented = f1(found, true)
    assert score == 1, (found, true)
    assert not invented


def test_every_window_gets_one_prediction_and_the_end_comes_last(windows, predictions):
    found = [m.header for m in predictions if isinstance(m.header, Prediction)]
    assert [p.seq for p in found] == [m.header.seq for m in windows]
    assert [p.label is None for p in found[:-1]] == [m.header.filled < 30 for m in windows[:-1]]
    assert all(sum(p.probabilities.values()) == pytest.approx(1, abs=1e-3) for p in found if p.label)
    assert found[-1].end_of_stream


def test_batches_of_any_size_give_the_same_predictions(inference, windows, predictions):
    again = play(inference, windows, at_once=7)
    ids = {"id": 0, "number": 0}  # they continue from one replay to the next
    assert [rounded(m.header) | ids for m in again] == [rounded(m.header) | ids for m in predictions]


def test_frames_without_a_person_get_no_label_and_no_action(inference):
    stage = Windows(config.load())
    stage.setup()
    empty = np.zeros(SIZE, np.float32)
    frames = [
        Message(Keypoints(stream="empty", seq=n, captured_ns=n * 40_000_000, ingested_ns=0), empty) for n in range(60)
    ]
    sent = [m.header for m in play(inference, play(stage, frames))]
    assert len(sent) == 60
    assert not any(isinstance(header, Action) or header.label for header in sent)


def test_windows_of_another_length_are_refused_in_words(inference, windows):
    header = derive_header(windows[40].header, Window, length=20, filled=20, person_ratio=1.0)
    assert not play(inference, [Message(header, windows[40].array[:20])])
    assert "20" in inference.health.detail
    assert "30" in inference.health.detail


def test_a_model_for_other_windows_than_the_settings_is_refused():
    stage = Inference(config.load(sets=["windows.length=20"]))
    with pytest.raises(UserError, match=r"30 frames.*windows\.length is 20"):
        stage.setup()


def test_the_logger_writes_every_line(predictions, tmp_path: Path):
    stage = Logger(config.load(sets=[f"logger.out={tmp_path / 'run'}"]))
    stage.setup()
    play(stage, predictions)
    stage.health.ended_streams.add("cam")
    stage.close()
    lines = [json.loads(line) for line in (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()]
    assert [line["seq"] for line in lines] == list(range(len(lines)))
    assert lines[0]["note"] == "too early for a window: 1 of 30 frames"
    assert set(lines[-1]["probabilities"]) == {"nod", "rest", "shake", "tilt"}
    actions = [json.loads(line) for line in (tmp_path / "run" / "actions.jsonl").read_text().splitlines()]
    assert [a["event"] for a in actions] == ["started", "ended"] * (len(actions) // 2)
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["state"] == "complete"
    assert run["streams"]["cam"]["predicted"] == len(lines) - 29


def test_a_run_is_never_overwritten_but_a_crashed_one_resumes(predictions, tmp_path: Path, monkeypatch):
    options = config.load(sets=[f"logger.out={tmp_path}"])
    first = Logger(options)
    first.setup()
    play(first, predictions[:10])
    before, refused = (tmp_path / "run.json").read_bytes(), Logger(options)
    with pytest.raises(UserError, match="already holds a run"):
        refused.setup()
    refused.close()
    assert (tmp_path / "run.json").read_bytes() == before
    with (tmp_path / "predictions.jsonl").open("ab") as file:
        file.write(b'{"half a li')  # killed in the middle of a write
    monkeypatch.setenv(RESTARTED, "1")
    second = Logger(options)
    second.setup()
    play(second, predictions[10:20])
    second.close()
    first.close()
    lines = (tmp_path / "predictions.jsonl").read_text().splitlines()
    assert [json.loads(line)["seq"] for line in lines] == list(range(20))


def test_the_logger_names_a_service_whose_heartbeat_timed_out(monkeypatch, caplog):
    stage = Logger(config.load())
    report = Status(stream="windows.7", seq=1, captured_ns=0, ingested_ns=0, service="windows", pid=7, state="running")
    monkeypatch.setattr("services.logger.time.monotonic", lambda: 100.0)
    play(stage, [Message(report)])
    monkeypatch.setattr("services.logger.time.monotonic", lambda: 104.0)
    stage.step([])
    assert "windows (process 7): heartbeat timed out" in caplog.text


def test_the_overlay_draws_every_skeleton_on_its_own_frame(recording, tmp_path: Path):
    stage = Overlay(config.load(sets=[f"overlay.video={tmp_path / 'o.mp4'}", "overlay.page=false"]))
    card, sent = TestCard(0), []
    for keypoints in recording[:20]:
        header = derive_header(keypoints.header, Frame, width=640, height=480)
        image = np.full((480, 640, 3), 10 * header.seq, np.uint8)
        sent += [Message(header, image), keypoints]
    # Keypoints before their frames, and frames before their keypoints.
    early = [m for m in sent if isinstance(m.header, Keypoints)], [m for m in sent if isinstance(m.header, Frame)]
    play(stage, early[0][:5] + early[1] + early[0][5:], at_once=3)
    play(stage, [recording[-1]])
    stage.close()
    assert stage.health.missed == 0
    video = cv2.VideoCapture(str(tmp_path / "o.mp4"))
    shades = []
    while (decoded := video.read())[0]:
        shades.append(int(np.median(decoded[1])))
        nose = recording[len(shades) - 1].array[:2] * (640, 480)
        x, y = int(nose[0]), int(nose[1])
        assert decoded[1][y - 3 : y + 4, x - 3 : x + 4].astype(int).std() > 5  # lines meet at the nose
    assert shades == pytest.approx([10 * n for n in range(20)], abs=4)
    assert card.frame(0).shape == (480, 640, 3)


def test_a_frame_that_never_came_is_counted_and_does_not_stop_the_others(recording):
    stage = Overlay(config.load(sets=["overlay.page=false"]))
    frames = [derive_header(m.header, Frame, width=64, height=48) for m in recording[:10]]
    arrived = [Message(header, np.zeros((48, 64, 3), np.uint8)) for header in frames if header.seq != 4]
    play(stage, arrived + recording[:10])
    assert stage.health.missed == 1
