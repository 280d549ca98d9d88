"""Labels of two levels live: what inference, the logger and the overlay make of `right` and `wrong`."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from common import config
from common.bus.messages import Action, Frame, Keypoints, Message, Prediction, derive_header
from common.keypoints.landmarks import SIZE
from common.video.drawing import VERDICTS
from common.video.view import LINGER_NS
from services.inference import Inference
from services.logger import Logger
from services.overlay import Overlay
from services.windows import Windows
from tests.pipeline import ROOT
from tests.services.test_model_replaced import change_card
from tests.services.test_stages import play

PERIOD_NS = 40_000_000


@pytest.fixture(scope="module")
def said(recording: list[Message], tmp_path_factory: pytest.TempPathFactory) -> list[Message]:
    """The messages of a model that predicts head/right for a nod, and head/wrong for a shake."""
    model = tmp_path_factory.mktemp("two") / "model"
    shutil.copytree(ROOT / "pretrained" / "testcard", model)
    change_card(model, labels=["head/right", "rest", "head/wrong", "tilt"])
    stages = [Windows(config.load()), Inference(config.load(sets=[f"inference.model={model}"]))]
    messages = recording
    for stage in stages:
        stage.setup()
        messages = play(stage, messages)
    return messages


def test_inference_reports_action_and_verdict(said: list[Message]) -> None:
    actions = [m.header for m in said if isinstance(m.header, Action) and not m.header.end_of_stream]
    assert [(action.event, action.label, action.verdict) for action in actions] == [
        ("started", "head", "right"),
        ("ended", "head", "right"),
        ("started", "head", "wrong"),
        ("ended", "head", "wrong"),
    ]
    predictions = [m.header for m in said if isinstance(m.header, Prediction)]
    assert {(p.label, p.verdict) for p in predictions} >= {
        (None, None),
        ("rest", None),
        ("head/right", "right"),
        ("head/wrong", "wrong"),
    }
    assert set(predictions[-2].smoothed) == {"head/right", "head/wrong", "rest", "tilt"}


def test_the_logger_writes_and_prints_both(said: list[Message], tmp_path: Path, caplog) -> None:
    caplog.set_level("INFO")
    stage = Logger(config.load(sets=[f"logger.out={tmp_path}"]))
    stage.setup()
    play(stage, said)
    stage.close()
    predictions, actions = (
        [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        for name in ("predictions", "actions")
    )
    assert {(line["label"], line["verdict"]) for line in predictions} >= {(None, None), ("head/wrong", "wrong")}
    assert [(line["label"], line["verdict"]) for line in actions[1::2]] == [("head", "right"), ("head", "wrong")]
    assert "cam: head: wrong ended at" in caplog.text


def action(seq: int, event: str, verdict: str | None) -> Message:
    known = {"stream": "cam", "seq": seq, "captured_ns": seq * PERIOD_NS, "ingested_ns": 0}
    return Message(Action(**known, event=event, label="push up", verdict=verdict))


def frames(seqs: range) -> list[Message]:
    """Grey frames without a person, and their keypoints."""
    messages = []
    for seq in seqs:
        keypoints = Keypoints(stream="cam", seq=seq, captured_ns=seq * PERIOD_NS, ingested_ns=0)
        messages.append(
            Message(derive_header(keypoints, Frame, width=640, height=480), np.full((480, 640, 3), 128, np.uint8))
        )
        messages.append(Message(keypoints, np.zeros(SIZE, np.float32)))
    return messages


def borders(video: Path) -> list[str | None]:
    """The verdict that the border of each frame shows."""
    shown, read = [], cv2.VideoCapture(str(video))
    while (decoded := read.read())[0]:
        edge = np.median(decoded[1][200:, -5:].reshape(-1, 3), axis=0)
        shown.append(next((verdict for verdict, colour in VERDICTS.items() if np.abs(edge - colour).max() < 40), None))
    return shown


def test_the_overlay_shows_the_verdict_while_it_lasts_and_the_last_word_for_a_while(tmp_path: Path) -> None:
    stage = Overlay(config.load(sets=[f"overlay.video={tmp_path / 'o.mp4'}", "overlay.page=false"]))
    over = 10 + LINGER_NS // PERIOD_NS
    play(stage, [*frames(range(5)), action(5, "started", "right"), *frames(range(5, 10))])
    play(stage, [action(10, "ended", "wrong"), *frames(range(10, over + 5))])
    play(stage, [action(over + 5, "started", None), *frames(range(over + 5, over + 10))])
    stage.close()
    assert borders(tmp_path / "o.mp4") == [None] * 5 + ["right"] * 5 + ["wrong"] * (over - 10) + [None] * 10
    assert [one.display_text for one in stage._views["cam"]._sentence] == ["push up: wrong", "push up"]


def test_an_overlay_that_started_in_the_middle_keeps_the_words_of_two_actions_apart() -> None:
    stage = Overlay(config.load(sets=["overlay.page=false"]))
    play(stage, [action(0, "ended", "wrong"), action(9, "started", "right"), action(20, "ended", "right")])
    assert [one.display_text for one in stage._views["cam"]._sentence] == ["push up: wrong", "push up: right"]
