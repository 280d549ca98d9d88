"""Exporting a model to runtimes without TensorFlow: it predicts the same, and what is refused."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from common.bus.messages import Message
from common.errors import UserError
from common.recognition.classifier import CARD, read_card
from common.recording.dataset_writer import DatasetWriter
from common.recording.sequence import KeypointSequence
from models.export import MIN_AGREEMENT, compare, export
from tests.commands import call, run
from tests.pipeline import ROOT

TESTCARD = ROOT / "pretrained" / "testcard"


@pytest.fixture(scope="module")
def data(recording: list[Message], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with the recording of the test card in it."""
    folder = tmp_path_factory.mktemp("data") / "set"
    frames = recording[:-1]
    times = np.array([header.captured_ns for header, _ in frames])
    with DatasetWriter(folder) as collection:
        collection.add(
            "0", KeypointSequence("any", np.stack([vector for _, vector in frames]), times, "card", "cam", 25.0)
        )
    return folder


@pytest.mark.parametrize(("float16", "difference"), [(False, 1e-3), (True, 0.1)])
@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_an_exported_model_predicts_the_same(data: Path, tmp_path: Path, kind: str, float16: bool, difference: float):
    out = tmp_path / "out"
    compared = export(TESTCARD, out, kind, float16, data)
    assert compared.windows == 91
    assert compared.agreement >= MIN_AGREEMENT
    assert compared.difference < difference
    assert {path.name for path in out.iterdir()} == {CARD, f"model.{kind}"}
    assert read_card(out).labels == read_card(TESTCARD).labels
    original = (TESTCARD / "model.keras").stat().st_size
    assert (out / f"model.{kind}").stat().st_size < (0.6 if float16 else 1.1) * original


def test_the_command_without_data_compares_on_the_test_card(data: Path, tmp_path: Path):
    command = ("models.export", TESTCARD, "--to", "onnx", "--out", tmp_path / "out")
    ran = run(*command)
    assert ran.returncode == 0, ran.stderr
    assert "labels agree on 100.0%" in ran.stdout
    assert ran.stdout.count("\n") == 1
    again = call(*command, "--data", data)
    assert again.returncode == 2
    assert again.stderr == f"{tmp_path / 'out'} is there already: choose another --out, or remove it.\n"


def test_a_model_for_longer_windows_than_the_data_has(data: Path, tmp_path: Path):
    card = read_card(TESTCARD)
    longer = msgspec.structs.replace(card, window=msgspec.structs.replace(card.window, length=1000))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / CARD).write_bytes(msgspec.json.encode(longer))
    (tmp_path / "model" / "model.keras").write_bytes((TESTCARD / "model.keras").read_bytes())
    with pytest.raises(UserError, match="1000 frames of a window"):
        export(tmp_path / "model", tmp_path / "out", "onnx", False, data)


def test_only_models_of_keras_can_be_exported(data: Path, tmp_path: Path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / CARD).write_bytes((TESTCARD / CARD).read_bytes())
    with pytest.raises(UserError, match=r"no model\.keras"):
        export(tmp_path / "model", tmp_path / "out", "onnx", False, data)


def test_a_folder_that_cannot_be_written(data: Path, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        export(TESTCARD, tmp_path / "file" / "out", "onnx", False, data)


def test_a_comparison_counts_labels_and_finds_the_largest_difference():
    one = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]], np.float32)
    other = np.array([[0.8, 0.2], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]], np.float32)
    assert compare(one, other) == (4, pytest.approx(0.2), 0.75)
    assert compare(one, one) == (4, 0, 1)
