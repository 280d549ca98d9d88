"""The command that searches a recipe: it resumes, prunes trials, and writes a model folder."""

import contextlib
import json
import math
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from common.errors import UserError
from common.keypoints.features import RAW
from common.recognition.classifier import Classifier
from models import tune
from models.training.recipe import NETWORKS, Recipe, TrainingConfig
from tests.models.people import person
from tests.models.test_compare import SHORT, people, stored
from tests.pipeline import python

CONFIG = TrainingConfig(recipe=Recipe(epochs=30))


def started(*arguments: object) -> "contextlib.AbstractContextManager[subprocess.Popen[str]]":
    return python("-m", "models.tune", *arguments, *SHORT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_killed_search_resumes_and_writes_a_model_folder(tmp_path: Path):
    data, out, study = stored(tmp_path / "data", people("anna", "ben")), tmp_path / "mine", tmp_path / "my?study.db"
    command = (data, "--out", out, "--trials", 2, "--folds", 2, "--study", study)
    with started(*command) as killed:
        assert killed.stdout.readline().startswith("trial 1 of 2: loss ")
    with started(*command) as again:
        output, errors = again.communicate()
    assert again.returncode == 0, errors
    assert (
        output.startswith("trial 2 of 2: ") and f"{out}: 2-fold cross-validation" in output and output.count("\n") == 2
    )
    facts = json.loads((out / "card.json").read_text())
    assert facts["data"]["trials"] == 2 and not (tmp_path / "mine.training").exists()
    with tune.open_study(study, name_in(study)) as kept:
        assert kept.best_trial.params.items() <= facts["recipe"].items()
        assert list(kept.trials[0].intermediate_values) == [tune.STEPS]
    assert Classifier(out)(person(["nod"] * 10)[None]).shape == (1, 4)


def name_in(study: Path) -> str:
    with contextlib.closing(sqlite3.connect(study)) as database:
        return str(database.execute("select study_name from studies").fetchone()[0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--trials", "0"], "--trials 0 is not valid: give 1 or more"),
        (["--architectures", "lstm", "--features", "raw"], "is the notebook baseline, whose recipe is fixed"),
        (["--study", "data/000.db"], "cannot store a study: file is not a database"),
        (["--study", "none/000.db"], "cannot store a study: unable to open database file"),
        (["--out", "data"], "data is there already"),
    ],
)
def test_invalid_options_are_refused_in_one_sentence(
    tmp_path: Path, monkeypatch, capsys, options: list[str], words: str
):
    stored(tmp_path / "data", people("anna"))
    (tmp_path / "data" / "000.db").write_text("not a database, whatever it is called" * 100)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tune", "data", "--out", "mine", *SHORT, *options])
    with pytest.raises(SystemExit) as ended:
        tune.main()
    output, errors = capsys.readouterr()
    assert (ended.value.code, output, errors.count("\n")) == (2, "", 1)
    assert words in errors and not (tmp_path / "mine").exists()


def test_a_study_survives_what_was_killed_in_it(tmp_path: Path):
    path = tmp_path / "ü?%20#.db"
    for _ in range(2):
        with tune.open_study(path, "one") as study:
            study.ask()
    with tune.open_study(path, "one") as study:
        assert [trial.state for trial in study.trials] == [TrialState.FAIL] * 2
        with pytest.raises(UserError, match="No trial reached a finite loss"):
            tune.best_of(study)
    with tune.open_study(path, "another") as study:
        assert not study.trials
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@settings(max_examples=20)
@given(st.integers(0, 1000), st.sampled_from([[one] for one in NETWORKS] + [list(NETWORKS)]))
def test_every_suggestion_is_a_recipe_and_reproducible(seed: int, wanted: list[str]):
    architectures, found = tune.search_space(wanted, CONFIG.recipe), []
    for _ in range(2):
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
        found.append(tune.suggest(study.ask(), CONFIG, architectures))
    assert found[0] == found[1] == msgspec.convert(msgspec.to_builtins(found[0]), Recipe)
    assert (
        found[0].architecture in architectures and found[0].features == CONFIG.recipe.features and found[0].epochs <= 30
    )


def test_the_default_recipe_can_be_suggested():
    study = optuna.create_study()
    study.enqueue_trial(tune.default_params(CONFIG.recipe, list(NETWORKS)))
    assert tune.suggest(study.ask(), CONFIG, list(NETWORKS)) == CONFIG.recipe
    assert tune.default_params(CONFIG.recipe, ["gru"])["architecture"] == "gru"
    raw = msgspec.structs.replace(CONFIG.recipe, features=RAW)
    assert tune.search_space(list(NETWORKS), raw) == ["conv", "gru", "transformer"]


def observed(study: optuna.Study, *losses: float) -> optuna.Trial:
    """Return a trial whose first network had these losses, by epoch."""
    trial = study.ask()
    callback = tune.PruningCallback(trial, lambda *_: None)
    for done, loss in enumerate(losses, start=1):
        callback(done, len(losses), loss)
    callback(1, 2, 100.0)  # of the next network
    callback(2, 2, 100.0)
    study.tell(trial, losses[-1])
    return trial


def test_a_trial_is_pruned_when_it_is_worse_than_most_at_the_same_step(tmp_path: Path):
    with tune.open_study(tmp_path / "study.db", "one") as study:
        for epochs in (10, 20, 30, 10, 25):
            observed(study, *[1.0 - done / epochs / 2 for done in range(epochs)])
        observed(study, 9.0, 9.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1)  # bad while the rate rises
        with pytest.raises(optuna.TrialPruned, match=r"after 3 of 10 epochs at loss 2\.000"):
            observed(study, *[2.0] * 10)
        with pytest.raises(optuna.TrialPruned, match="at loss nan"):
            observed(study, math.nan)
