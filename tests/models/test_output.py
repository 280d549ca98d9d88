"""Every command as a user runs it, on small data, prints our lines alone; of import_model, see test_import_oddities."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models.test_compare import people, stored
from tests.pace import patience
from tests.pipeline import ROOT

TINY = ("--window-length", "10", "--stride", "5", "--epochs", "1")
TRAINED = r"\S+: \d-fold cross-validation, grouped by \d subjects: accuracy .*\n"
TRIAL = r"trial 1 of 1: loss .*\n"
TABLE = r" +calib\..*\narchitecture +accuracy .*\n─+\nconv .*\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored(tmp_path_factory.mktemp("data") / "set", people("anna", "ben", "carl", "dora", "ed", each=2))


@pytest.fixture(scope="module")
def model(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained by the command, with more networks than TensorFlow traces without a warning."""
    out = tmp_path_factory.mktemp("models") / "model"
    assert re.fullmatch(TRAINED, printed("train", data, "--out", out, "--folds", 5, *TINY))
    return out


def printed(command: str, *arguments: object) -> str:
    """All that the real command prints, on both streams."""
    command_line = [sys.executable, "-m", f"models.{command}", *map(str, arguments)]
    ran = subprocess.run(
        command_line,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=patience(100),
    )
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


def only(pattern: str, output: str) -> None:
    assert re.fullmatch(pattern, output), output


def test_training_adapting_evaluating_and_exporting(data: Path, model: Path, tmp_path: Path):
    only(
        r"\S+: fine-tuned on 40 sequences, new labels: none; .*\n",
        printed("adapt", model, data, "--out", tmp_path / "a"),
    )
    output = printed("evaluate", model, data, "--report", tmp_path / "report")
    of_others = re.sub("(?m)^Warning: .*$", "", output)
    assert not set(re.findall("(?i)warning|tensorflow|retracing|deprecat", of_others)), output
    only(r"(Warning: .*\n)+(start_threshold .*\n){2}\S+.*\n", printed("tune_decision", model, data))
    for kind in ("tflite", "onnx"):
        output = printed("export", model, "--to", kind, "--data", data, "--out", tmp_path / kind)
        only(r"\S+: on \d+ windows probabilities differ by .*\n", output)


def test_searching_and_comparing(tmp_path: Path):
    data, options = stored(tmp_path / "data", people("anna", "ben", each=2)), ("--folds", 2, *TINY)
    only(f"{TRIAL}{TRAINED}", printed("tune", data, "--out", tmp_path / "m", "--trials", 1, *options))
    output = printed(
        "compare", data, "--architectures", "conv", "--test-folds", 2, "--plot", tmp_path / "all.svg", *TINY
    )
    only(rf"(seed 0, fold \d of 2, conv: .*\n){{2}}{TABLE}", output)
