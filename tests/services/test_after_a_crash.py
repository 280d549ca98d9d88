"""The state of a service that crashed: open actions are ended, ids continue, lines are neither lost nor doubled."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from common import config
from common.bus.messages import Action, Frame, Message, Prediction
from common.keypoints.landmarks import SIZE
from common.recognition.open_actions import VARIABLE
from common.runtime.service import Service
from common.runtime.watchdog import RESTARTED
from services.inference import Inference
from services.keypoints import KeypointExtractor
from services.logger import Logger
from services.windows import Windows
from tests.pipeline import free_ports


def play(service: Service, messages: list[Message]) -> list[Message]:
    return [sent for message in messages for sent in service.step([message])]


def actions(messages: list[Message]) -> list[Action]:
    return [m.header for m in messages if isinstance(m.header, Action) and not m.header.end_of_stream]


@pytest.fixture
def windows(recording: list[Message]) -> list[Message]:
    stage = Windows(config.load())
    stage.setup()
    return play(stage, recording[:-1])


@pytest.fixture
def handed_on(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the supervisor has received for the next process."""
    variables: dict[str, str] = {}
    monkeypatch.setattr("common.runtime.watchdog.pass_to_successor", variables.__setitem__)
    return variables


def test_an_action_under_way_ends_after_a_crash_and_ids_continue(
    windows, handed_on: dict[str, str], monkeypatch
) -> None:
    first = Inference(config.load())
    first.setup()
    received, sent = 0, []
    while not actions(sent):  # until one is under way
        sent += first.step([windows[received]])
        received += 1
    (started,) = actions(sent)
    assert started.event == "started"

    monkeypatch.setattr("common.recognition.open_actions._left", handed_on[VARIABLE])
    second = Inference(config.load())
    second.setup()
    (ended,) = actions(list(second.step([])))  # before any window comes
    assert (ended.event, ended.id, ended.label, ended.stream) == ("ended", started.id, started.label, started.stream)
    assert ended.end_s is not None and ended.end_s >= started.start_s
    assert not list(second.step([]))
    later = actions(play(second, windows[received:]))
    assert later and {action.id for action in later}.isdisjoint({started.id})


def test_a_stream_that_begins_anew_ends_its_actions_and_shares_no_window(windows) -> None:
    stage = Inference(config.load())
    stage.setup()
    received, sent = 0, []
    while not actions(sent):
        sent += stage.step([windows[received]])
        received += 1
    again = [Message(msgspec.structs.replace(m.header, start=7), m.array) for m in windows]
    events = [(action.event, action.id, action.start) for action in actions(play(stage, again))]
    assert events[0] == ("ended", 1, 0)
    assert all(start == 7 and number > 1 for _, number, start in events[1:])
    assert len(events) > 1


def test_windows_of_a_stream_that_begins_anew_hold_nothing_of_before(recording: list[Message]) -> None:
    stage = Windows(config.load())
    stage.setup()
    again = [Message(msgspec.structs.replace(m.header, start=7), m.array) for m in recording[20:30]]
    sent = play(stage, recording[:20] + again)
    assert [m.header.filled for m in sent] == [*range(1, 21), *range(1, 11)]


# --- the logger -------------------------------------------------------------------------------------


def predictions(seqs, start: int = 1, live: bool = False) -> list[Message]:
    return [
        Message(Prediction(stream="cam", seq=seq, captured_ns=seq, ingested_ns=0, start=start, live=live, label="wave"))
        for seq in seqs
    ]


def ends(frames: int, start: int = 1, live: bool = False) -> list[Message]:
    values = {"stream": "cam", "seq": frames, "captured_ns": 0, "ingested_ns": 0, "start": start, "live": live}
    return [Message(Prediction(**values, end_of_stream=True)), Message(Action(**values, end_of_stream=True))]


def action(event: str, start: int = 1) -> Message:
    return Message(
        Action(stream="cam", seq=1, captured_ns=1, ingested_ns=0, start=start, live=False, event=event, id=1)
    )


def logger(out: Path) -> Logger:
    stage = Logger(config.load(sets=[f"logger.out={out}"]))
    stage.setup()
    return stage


def lines(out: Path, name: str = "predictions") -> list[dict]:
    return [json.loads(line) for line in (out / f"{name}.jsonl").read_text().splitlines()]


def run(out: Path) -> dict:
    return json.loads((out / "run.json").read_text())


def test_a_file_that_lost_frames_is_incomplete_and_says_which(tmp_path: Path, caplog) -> None:
    stage = logger(tmp_path)
    play(stage, predictions([0, 1, 2, 7, 8]) + ends(12))
    stage.close()
    assert run(tmp_path)["state"] == "incomplete"
    assert run(tmp_path)["streams"]["cam"]["missing"] == [[3, 6], [9, 11]]
    assert "7 frames have no prediction: 3-6, 9-11" in caplog.text
    assert "for the sake of the newest" not in caplog.text


def test_a_whole_file_is_complete_and_one_that_was_stopped_is_neither(tmp_path: Path) -> None:
    for name, sent, state in (("whole", ends(3), "complete"), ("part", [], "stopped")):
        stage = logger(tmp_path / name)
        play(stage, predictions(range(3)) + sent)
        stage.close()
        assert run(tmp_path / name)["state"] == state


@pytest.mark.parametrize("late", [predictions([5]), [action("ended")]])
def test_lines_of_a_file_that_starts_over_are_not_doubled(tmp_path: Path, late: list[Message]) -> None:
    stage = logger(tmp_path)
    before, after = predictions(range(6)), predictions(range(8), start=2)
    play(
        stage,
        [*before, action("started"), *after[:2], *late, *after[2:], action("started", start=2), *ends(8, start=2)],
    )
    stage.close()
    assert [line["seq"] for line in lines(tmp_path)] == list(range(8))
    assert [line["event"] for line in lines(tmp_path, "actions")] == ["started", "ended"]  # ended when the run did
    assert run(tmp_path)["state"] == "complete"
    assert run(tmp_path)["streams"]["cam"]["frames"] == 8


def test_a_logger_that_crashed_removes_its_lines_of_a_file_and_keeps_other_streams(tmp_path: Path, monkeypatch) -> None:
    first = logger(tmp_path)
    other = [Message(msgspec.structs.replace(m.header, stream="other")) for m in predictions(range(3), live=True)]
    play(first, predictions(range(6)) + other)
    monkeypatch.setenv(RESTARTED, "1")
    second = logger(tmp_path)
    play(second, predictions([9]) + predictions(range(8), start=2) + ends(8, start=2))
    second.close()
    first.close()
    assert [line["seq"] for line in lines(tmp_path) if line["stream"] == "cam"] == list(range(8))
    assert [line["seq"] for line in lines(tmp_path) if line["stream"] == "other"] == [0, 1, 2]


def test_what_a_live_stream_showed_while_the_logger_was_away_is_missing(tmp_path: Path, monkeypatch) -> None:
    first = logger(tmp_path)
    play(first, predictions(range(6), live=True))
    monkeypatch.setenv(RESTARTED, "1")
    second = logger(tmp_path)
    play(second, predictions(range(9, 12), live=True) + ends(12, live=True))
    first.close()
    second.close()
    assert [line["seq"] for line in lines(tmp_path)] == [*range(6), 9, 10, 11]
    assert run(tmp_path)["state"] == "incomplete"
    assert run(tmp_path)["streams"]["cam"]["missing"] == [[6, 8]]


def test_frames_from_before_the_first_prediction_were_not_skipped(tmp_path: Path, caplog) -> None:
    caplog.set_level("INFO")
    stage = logger(tmp_path)
    play(stage, predictions([299], live=True) + ends(300, live=True))
    stage.close()
    assert "299 frames came before the first prediction" in caplog.text
    assert "not looked at" not in caplog.text
    assert run(tmp_path)["state"] == "complete"


# --- the extractor ----------------------------------------------------------------------------------


def frame(seq: int) -> Frame:
    return Frame(stream="cam", seq=seq, captured_ns=seq * 40_000_000, ingested_ns=0, width=64, height=48, live=False)


def test_a_frame_that_mediapipe_fails_on_is_without_a_person_and_the_next_is_processed(caplog) -> None:
    stage = KeypointExtractor(config.load(sets=[f"bus.port={free_ports(4)}"]))
    image = np.zeros((48, 64, 3), np.uint8)
    try:
        stage.setup()
        assert stage._extract(frame(0), image).vector.shape == (SIZE,)
        stage._graphs["cam"].close()  # any call raises now
        assert not stage._extract(frame(1), image).vector.any()
        assert "frame 1 counts as a frame without a person: MediaPipe fails" in caplog.text
        assert stage.health.dropped == 1
        stage._extract(frame(2), image)
        assert stage.health.dropped == 1
    finally:
        stage.close()
