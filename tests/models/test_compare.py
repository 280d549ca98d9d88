"""The command that compares kinds of models: everybody judged once, the same folds for all, and what is refused."""

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
from models.training.cross_validation import Figures
from models.training.recipe import Recipe
from models.training.trainer import Course, Plan
from models.training_data.folds import make_test_folds
from tests.models.people import LABELS, card, sequence
from tests.pipeline import ROOT, python

SHORT = ("--length", "10", "--stride", "5", "--epochs", "1")


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


def test_two_kinds_on_the_same_folds(tmp_path: Path):
    data, out = stored(tmp_path / "data", people("anna", "ben", each=2)), tmp_path / "new"
    kinds, files = ("forest", "ridge"), ("--json", out / "all.json", "--plot", out / "all.svg")
    asked = subprocess.run(
        command(data, "--leave-one-out", "--kinds", *kinds, "forest", *files),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.count("±") == 2 and [asked.stdout.count(kind) for kind in kinds] == [1, 1]
    figures = [msgspec.convert(one, Figures) for one in json.loads((out / "all.json").read_text())["figures"]]
    for kind in kinds:
        assert [one.recorders for one in figures if one.kind == kind] == [["anna"], ["ben"]]
        assert asked.stderr.count(f"of 2, {kind}: accuracy") == 2
    assert all(one.sequences == 8 and one.parameters > 0 and one.ms_per_window > 0 for one in figures)
    assert b"<svg" in (out / "all.svg").read_bytes()


def test_an_interrupted_comparison_keeps_what_it_has(tmp_path: Path):
    data, kept = stored(tmp_path / "data", people("anna", each=4)), tmp_path / "all.json"
    arguments = command(data, "--folds", "2", "--seeds", "3", "--kinds", "forest", "--json", kept)[1:]
    with python(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asked:
        while not asked.stderr.readline().startswith("seed 0, fold 1 of 2, forest"):
            assert asked.poll() is None
        asked.send_signal(signal.SIGINT)
        told, errors = asked.communicate()
    assert (asked.returncode, told) == (130, "") and "Traceback" not in errors
    assert "Interrupted: the figures so far are above" in errors
    assert 0 < len(json.loads(kept.read_text())["figures"]) < 6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--kinds", "conv", "oracle"], "--kinds oracle is none of conv, gru"),
        (["--folds", "3"], "2 subjects cannot make 3 folds"),
        (["--folds", "1"], "2 subjects cannot make 1 folds"),
        (["--seeds", "0"], "--seeds 0 will not do: it must be 1 or more"),
        (["--plot", "all.gif"], "its name must end in .svg or .png"),
        (["--json", "."], "is a folder: name a file"),
        (["--idle", "sleep"], "--idle 'sleep' is none of the labels"),
        (["--epochs", "0"], "--epochs 0 will not do"),
        (["--json", "/proc/nothing/all.json"], "cannot be read or written"),
    ],
)
def test_what_will_not_do_is_one_sentence(tmp_path: Path, monkeypatch, capsys, options: list[str], words: str):
    data = stored(tmp_path / "data", people("anna", "ben"))
    default = [] if "--folds" in options else ["--folds", "2"]
    monkeypatch.setattr(sys, "argv", ["compare", str(data), *default, *options])
    with pytest.raises(SystemExit) as ended:
        compare.main()
    told, errors = capsys.readouterr()
    assert (ended.value.code, told, errors.count("\n")) == (2, "", 1)
    assert words in errors


def test_a_label_that_could_not_be_learnt_without_a_fold_is_named():
    with pytest.raises(UserError, match="Too few sequences of 'wave', 0, are left to train on"):
        make_test_folds([*people("anna", "ben", labels=["idle", "nod"]), *people("ben", labels=["wave"])], 2, 0)
    with pytest.raises(UserError, match="Too few sequences of 'clap', 1, are left"):
        make_test_folds(people("anna", each=2), 2, 0)
    with pytest.raises(UserError, match="1 subjects cannot make 2 folds"):
        make_test_folds(people("anna"), None, 0)
    assert len(make_test_folds(people("anna"), 3, 0)) == 3


def figures(kind: str, *accuracies: float, ms: float = 1.0) -> list[Figures]:
    facts = {
        "seed": 0,
        "recorders": [],
        "sequences": 1,
        "loss": 0.5,
        "calibration_error": 0.1,
        "rejected": 0.0,
        "event_f1": 0.9,
        "false_per_minute": 0.0,
        "parameters": 600_000,
        "training_s": 1.0,
    }
    return [
        Figures(kind=kind, fold=fold, accuracy=accuracy, ms_per_window=ms, **facts)
        for fold, accuracy in enumerate(accuracies)
    ]


def test_the_best_kind_is_first_the_best_figures_bold_and_80_letters_are_enough():
    both = figures("transformer", 0.5, 0.7, ms=0.5) + figures("boosting", 0.9, 0.7, ms=20)
    assert list(compare.by_kind(both)) == ["boosting", "transformer"]
    console = Console(width=80, force_terminal=True)
    with console.capture() as captured:
        console.print(compare.table(both))
    text = captured.get()
    assert "\x1b[1m0.800±0.100" in text and "\x1b[1m20.00" not in text
    assert "…" not in text and text.count("600,000") == 2 and " 0.600±0.100" in text
    assert compare.drawn(both, "png").startswith(b"\x89PNG")


def test_the_notebook_is_its_own_recipe_and_lessons_are_shared_where_they_can_be():
    plan = Plan(recipe=Recipe(kind="conv", epochs=1), shape=card().window, stride=5)
    assert compare.recipe_of("notebook", plan.recipe).is_notebooks
    assert not compare.recipe_of("lstm", plan.recipe).is_notebooks
    course = Course(people("anna", each=2), plan)
    other, raw = (course.by(compare.recipe_of(kind, plan.recipe)) for kind in ("ridge", "notebook"))
    assert other._lessons is course._lessons and raw._lessons is not course._lessons
    assert [one.plan.recipe.features for one in (course, other, raw)] == [BODY, BODY, RAW]
    assert [one.plan.recipe.kind for one in (course, other, raw)] == ["conv", "ridge", "lstm"]
