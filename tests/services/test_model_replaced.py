"""What inference does when its model folder is replaced while it runs."""

import shutil
from pathlib import Path

import msgspec
import pytest

from common import config
from common.bus.messages import Action, Message, Prediction
from common.recognition.classifier import CARD, WindowSpec, read_card
from services.inference import Inference
from services.windows import Windows
from tests.pipeline import ROOT


@pytest.fixture
def model(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "pretrained" / "testcard", tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def inference(model: Path, monkeypatch: pytest.MonkeyPatch) -> Inference:
    monkeypatch.setattr("common.recognition.model_watcher.POLL_S", 0)  # at every step instead of once a second
    stage = Inference(config.load(sets=[f"inference.model={model}"]))
    stage.setup()
    return stage


@pytest.fixture(scope="module")
def windows(recording: list[Message]) -> list[Message]:
    stage = Windows(config.load())
    stage.setup()
    return list(stage.step(recording))


def change_card(model: Path, **changes: object) -> None:
    (model / CARD).write_bytes(msgspec.json.encode(msgspec.structs.replace(read_card(model), **changes)))


def play(inference: Inference, windows: list[Message]) -> tuple[list[str], list[Action]]:
    """The labels of the predictions, and the actions but the stream's end."""
    sent = [message.header for window in windows for message in inference.step([window])]
    labels = [header.label for header in sent if isinstance(header, Prediction) and header.label]
    return labels, [header for header in sent if isinstance(header, Action) and not header.end_of_stream]


def test_the_new_model_is_loaded_between_two_windows_and_ends_the_old_ones_actions(inference, model, windows, caplog):
    caplog.set_level("INFO")
    number, before = 0, list[Action]()
    while not before:  # until the nod has started
        before = play(inference, windows[number : number + 1])[1]
        number += 1
    change_card(model, labels=["yes", "still", "no", "maybe"], idle=["still"])
    labels, actions = play(inference, windows[number:])
    assert labels[0] == before[0].label == "nod"  # it must lie unchanged for one more look
    assert set(labels[2:]) <= {"yes", "still", "no", "maybe"}
    assert [(action.label, action.event) for action in before + actions[:2]] == [
        ("nod", "started"),
        ("nod", "ended"),
        ("yes", "started"),
    ]
    assert [action.id for action in before + actions[:2]] == [1, 1, 2]
    assert "was replaced: it now knows yes, still, no, maybe" in caplog.text


def test_a_half_written_model_is_not_loaded_until_it_is_complete(inference, model, windows):
    weights = (model / "model.keras").read_bytes()
    change_card(model, labels=["yes", "still", "no", "maybe"], idle=["still"])
    (model / "model.keras").write_bytes(weights[:1000])
    assert set(play(inference, windows[30:40])[0]) <= set(read_card(ROOT / "pretrained" / "testcard").labels)
    assert "the model before stays" in inference.health.detail
    assert "cannot be loaded" in inference.health.detail
    (model / "model.keras").write_bytes(weights)
    assert set(play(inference, windows[40:50])[0][2:]) <= {"yes", "still", "no", "maybe"}
    assert inference.health.detail == ""


def test_a_model_for_other_windows_is_not_loaded(inference, model, windows):
    change_card(model, window=WindowSpec(length=30, fps=15.0))
    assert play(inference, windows[30:40])[0]
    assert "fps=15.0" in inference.health.detail
    assert "fps=25.0" in inference.health.detail
