"""The command that compares architectures: the same test folds for all, and what is refused."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from common.errors import UserError
from common.keypoints.features import BODY, RAW
from common.recording.dataset_writer import DatasetWriter
from models import compare
from models.training.cross_validation import FoldMetrics
from models.training.recipe import Recipe, TrainingConfig
from models.training.trainer import Trainer
from models.training_data.folds import make_test_folds
from tests.models.people import LABELS, card, sequence
from tests.pipeline import ROOT, python

SHORT = ("--window-length", "10", "--stride", "5", "--epochs", "1")


def people(*subjects: str, labels: list[str] = LABELS, each: int = 3) -> list:
    return [
        sequence(label, subject=subject, frames=20, seed=number)
        for subject in subjects
        for label in labels
        for number in range(each)
    ]


def stored(folder: Path, sequences: list) -> Path:
    with DatasetWriter(folder) as collection:
        for number, one in enumerate(sequences):
            collection.add(f"{number:03d}", one)
    return folder


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "models.compare", *map(str, arguments), *SHORT]


def test_two_architectures_on_the_same_folds(tmp_path: Path):
    data, out = stored(tmp_path / "data", people("anna", "ben", each=2)), tmp_path / "new"
    architectures, files = ("forest", "ridge"), ("--json", out / "all.json", "--plot", out / "all.svg")
    ran = subprocess.run(
        command(data, "--leave-one-out", "--architectures", *architectures, "forest", *files),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("±") == 2 and [ran.stdout.count(architecture) for architecture in architectures] == [1, 1]
    metrics = [msgspec.convert(one, FoldMetrics) for one in json.loads((out / "all.json").read_text())["metrics"]]
    for architecture in architectures:
        assert [one.subjects for one in metrics if one.architecture == architecture] == [["anna"], ["ben"]]
        assert ran.stderr.count(f"of 2, {architecture}: accuracy") == 2
    assert all(one.sequences == 8 and one.parameters > 0 and one.ms_per_window > 0 for one in metrics)
    assert b"<svg" in (out / "all.svg").read_bytes()


def test_an_interrupted_comparison_keeps_what_it_has(tmp_path: Path):
    data, kept = stored(tmp_path / "data", people("anna", each=4)), tmp_path / "all.json"
    arguments = command(data, "--test-folds", "2", "--seeds", "3", "--architectures", "forest", "--json", kept)[1:]
    with python(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as ran:
        while not ran.stderr.readline().startswith("seed 0, fold 1 of 2, forest"):
            assert ran.poll() is None
        ran.send_signal(signal.SIGINT)
        output, errors = ran.communicate()
    assert (ran.returncode, output) == (130, "") and "Traceback" not in errors
    assert "Interrupted: the metrics so far are above" in errors
    assert 0 < len(json.loads(kept.read_text())["metrics"]) < 6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--architectures", "conv", "oracle"], "--architectures oracle is none of conv, gru"),
        (["--test-folds", "3"], "2 subjects cannot make 3 folds"),
        (["--test-folds", "1"], "2 subjects cannot make 1 folds"),
        (["--seeds", "0"], "--seeds 0 is not valid: give 1 or more"),
        (["--plot", "all.gif"], "its name must end in .svg or .png"),
        (["--json", "."], "is a folder: name a file"),
        (["--idle", "sleep"], "--idle 'sleep' is none of the labels"),
        (["--epochs", "0"], "--epochs 0 is not valid"),
        (["--json", "/proc/nothing/all.json"], "cannot be read or written"),
    ],
)
def test_invalid_options_are_refused_in_one_sentence(
    tmp_path: Path, monkeypatch, capsys, options: list[str], words: str
):
    data = stored(tmp_path / "data", people("anna", "ben"))
    default = [] if "--test-folds" in options else ["--test-folds", "2"]
    monkeypatch.setattr(sys, "argv", ["compare", str(data), *default, *options])
    with pytest.raises(SystemExit) as ended:
        compare.main()
    output, errors = capsys.readouterr()
    assert (ended.value.code, output, errors.count("\n")) == (2, "", 1)
    assert words in errors


def test_a_label_with_too_few_sequences_outside_a_fold_is_named():
    with pytest.raises(UserError, match="Too few sequences of 'wave', 0, are left to train on"):
        make_test_folds([*people("anna", "ben", labels=["idle", "nod"]), *people("ben", labels=["wave"])], 2, 0)
    with pytest.raises(UserError, match="Too few sequences of 'clap', 1, are left"):
        make_test_folds(people("anna", each=2), 2, 0)
    with pytest.raises(UserError, match="1 subjects cannot make 2 folds"):
        make_test_folds(people("anna"), None, 0)
    assert len(make_test_folds(people("anna"), 3, 0)) == 3


def metrics_of(architecture: str, *accuracies: float, ms: float = 1.0) -> list[FoldMetrics]:
    fields = {
        "seed": 0,
        "subjects": [],
        "sequences": 1,
        "loss": 0.5,
        "calibration_error": 0.1,
        "idle_rate": 0.0,
        "segmental_f1": 0.9,
        "false_positives_per_minute": 0.0,
        "parameters": 600_000,
        "training_s": 1.0,
    }
    return [
        FoldMetrics(architecture=architecture, fold=fold, accuracy=accuracy, ms_per_window=ms, **fields)
        for fold, accuracy in enumerate(accuracies)
    ]


def test_the_best_architecture_is_first_the_best_metrics_bold_and_80_characters_enough():
    both = metrics_of("transformer", 0.5, 0.7, ms=0.5) + metrics_of("boosting", 0.9, 0.7, ms=20)
    assert list(compare.by_architecture(both)) == ["boosting", "transformer"]
    console = Console(width=80, force_terminal=True)
    with console.capture() as captured:
        console.print(compare.table(both))
    text = captured.get()
    assert "\x1b[1m0.800±0.100" in text and "\x1b[1m20.00" not in text
    assert "…" not in text and text.count("600,000") == 2 and " 0.600±0.100" in text
    assert compare.plot(both, "png").startswith(b"\x89PNG")


def test_recipes_share_the_training_set_where_it_is_the_same():
    config = TrainingConfig(recipe=Recipe(architecture="conv", epochs=1), window=card().window, stride=5)
    assert compare.recipe_of("notebook", config.recipe).is_notebook_baseline
    assert not compare.recipe_of("lstm", config.recipe).is_notebook_baseline
    trainer = Trainer(people("anna", each=2), config)
    other, raw = (
        trainer.with_recipe(compare.recipe_of(architecture, config.recipe)) for architecture in ("ridge", "notebook")
    )
    assert other._training_set is trainer._training_set and raw._training_set is not trainer._training_set
    assert [one.config.recipe.features for one in (trainer, other, raw)] == [BODY, BODY, RAW]
    assert [one.config.recipe.architecture for one in (trainer, other, raw)] == ["conv", "ridge", "lstm"]
