"""The command that trains: what is in its folder, what it resumes, and what it refuses."""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from common.recognition.classifier import CARD, Classifier, read_card
from common.recording.dataset_writer import DatasetWriter
from common.recording.sequence import KeypointSequence
from data import dataset
from models import train
from models.evaluation import provenance
from models.training.checkpoint import STATE
from models.training.fit import LOGS
from tests.models.training.test_trainer import LENGTH, group, performed
from tests.pace import until
from tests.pipeline import ROOT, python

OPTIONS = ("--window-length", str(LENGTH), "--folds", "2", "--epochs", "4")
STARTED_S = 90


def parsed(data: Path, out: Path, *more: str, architecture: str = "forest") -> argparse.Namespace:
    """The command's options, by its own parser."""
    parser = argparse.ArgumentParser()
    train.add_options(parser)
    return argparse.Namespace(
        **vars(parser.parse_args([*OPTIONS, *more])), datasets=[data], out=out, architecture=architecture
    )


def command(data: Path, out: Path, *more: str) -> "list[str]":
    return [sys.executable, "-m", "models.train", str(data), "--out", str(out), *OPTIONS, *more]


def collected(folder: Path, sequences: "list[KeypointSequence]") -> Path:
    with DatasetWriter(folder) as collection:
        for number, one in enumerate(sequences):
            collection.add(f"{number:03d}", one)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return collected(tmp_path_factory.mktemp("data") / "people", group("idle", "wave"))


@pytest.fixture(scope="module")
def model(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "forest"
    train.run(parsed(data, out))
    return out


def first_epoch(log: Path) -> int:
    import tensorflow as tf

    steps = [
        event.step
        for event in tf.compat.v1.train.summary_iterator(str(log))
        if any(value.tag == "epoch_loss" for value in event.summary.value)
    ]
    return min(steps)


@contextlib.contextmanager
def stopped(data: Path, out: Path) -> Iterator[None]:
    """The real command, stopped after its first epochs but alive, and killed in the end."""
    state = out.with_name(out.name + ".training") / "checkpoints" / "fold 1" / STATE
    with python(*command(data, out)[1:], stdout=subprocess.DEVNULL) as process:
        until(state.exists, STARTED_S, lambda: process.poll() is None)
        os.kill(process.pid, signal.SIGSTOP)
        yield


def test_a_killed_command_resumes(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out, other, same = tmp_path / "model", tmp_path / "other", parsed(data, tmp_path / "model", architecture="conv")
    work_dir = tmp_path / "model.training"
    refused = pytest.raises(UserError, match="model is being trained by another process: wait for it, or choose")
    with stopped(data, out), refused:
        train.run(same)
    shutil.copytree(work_dir, tmp_path / "other.training")
    assert not out.exists()
    train.run(same)
    assert f"{out}: 2-fold cross-validation, grouped by 2 subjects: accuracy" in capsys.readouterr().out
    assert Classifier(out).card.recipe["architecture"] == "conv"
    logs = {folder.name: sorted(folder.glob("train/*tfevents*")) for folder in (out / LOGS).iterdir()}
    assert {name: len(files) for name, files in logs.items()} == {"fold 1": 2, "fold 2": 1, "all": 1}
    assert first_epoch(logs["fold 1"][1]) > 0 and first_epoch(logs["fold 2"][0]) == 0
    train.run(parsed(data, other))
    assert not (other / LOGS).exists(), "other options start over"
    assert {path.name for path in tmp_path.iterdir()} == {"model", "other"}


def test_the_card_describes_data_and_recipe(data: Path, model: Path):
    card, sequences = read_card(model), dataset.read(data)
    assert (card.labels, card.idle, card.window.length) == (["idle", "wave"], ["idle"], LENGTH)
    assert card.data["sources"] == ["people"] and card.data["sequences"] == len(sequences)
    assert card.data["sha256"] == provenance.digest(sequences)
    assert card.data["fingerprints"] == [provenance.fingerprint(one) for one in sequences]
    assert card.data["subjects"] == ["anna", "bert"] and 0 <= card.metrics["validation"]["accuracy"] <= 1
    assert card.recipe["epochs"] == 4 and card.decision.end_threshold <= card.decision.start_threshold
    assert {path.name for path in model.parent.iterdir()} == {"forest"}


def test_the_real_command_trains_and_then_refuses(data: Path, tmp_path: Path):
    ran = subprocess.run(
        command(
            data, tmp_path / "model", "--architecture", "ridge", "--parts", "hands,pose", "--fps", "0", "--idle", "wave"
        ),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout.count("\n")) == (0, 1), ran.stderr
    card = read_card(tmp_path / "model")
    assert card.features.parts == ("pose", "hands") and card.window.fps is None and card.idle == ["idle", "wave"]
    again = subprocess.run(command(data, tmp_path / "model"), cwd=ROOT, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == f"{tmp_path / 'model'} is there already: choose another --out, or remove it.\n"
    assert {path.name for path in tmp_path.iterdir()} == {"model"}


def without_numbers(folder: Path) -> None:
    frames = np.full((LENGTH, 1662), 0.5)
    for label in ("nod", "wave"):
        (folder / label).mkdir(parents=True)
        np.save(folder / label / "0.npy", frames)
    frames[3, 7] = np.inf
    np.save(folder / "wave" / "1.npy", frames)


@pytest.mark.parametrize(
    ("made", "more", "words"),
    [
        (lambda folder: folder.mkdir(), (), "is not a data set"),
        (without_numbers, (), "1.npy"),
        (lambda folder: collected(folder, group("nod")), (), "one label, 'nod'"),
        (lambda folder: collected(folder, [*group("nod"), performed("wave")]), (), "one sequence of 'wave'"),
        (lambda folder: collected(folder, group("nod", "Nod")), (), "'Nod' and 'nod'"),
        (lambda folder: collected(folder, group("nod", "wave")), ("--idle", "rest, nod"), "--idle 'rest' is none of"),
        (
            lambda folder: collected(folder, group("nod", "wave")),
            ("--window-length", "9"),
            "has 8 frames, 0 have a window of 9",
        ),
        (lambda folder: collected(folder, group("nod", "wave")), ("--folds", "1"), "--folds 1 is not valid"),
        (lambda folder: collected(folder, group("nod", "wave")), ("--fps", "nan"), "--fps nan is not valid"),
        (
            lambda folder: collected(folder, group("nod", "wave")),
            ("--features", "raw", "--parts", "joint_angles"),
            "--features raw --parts joint_angles is not valid: raw features have no joint angles",
        ),
    ],
)
def test_invalid_data_and_options_are_refused_in_one_sentence(
    tmp_path: Path, made: "Callable[[Path], object]", more: "tuple[str, ...]", words: str
):
    made(tmp_path / "data")
    with pytest.raises(UserError) as refused:
        train.run(parsed(tmp_path / "data", tmp_path / "model", *more))
    assert words in str(refused.value) and "\n" not in str(refused.value)
    assert {path.name for path in tmp_path.iterdir()} == {"data"}, "no folder is left"


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ({"labels": ["idle", "nod", "wave"]}, "shape (windows, labels) (1, 2), but its card says (1, 3)"),
        ({"features": {"kind": "raw"}}, "takes windows of"),
        ({"features": {"kind": "arms"}}, "is not a model card of this release: Invalid enum value 'arms'"),
        ({"temperature": 0}, "is not a model card"),
        ({"idle": ["rest"]}, "idle ['rest'] be some of them"),
    ],
)
def test_a_card_that_was_edited_is_refused_naming_both_sides(
    model: Path, tmp_path: Path, edit: "dict[str, object]", words: str
):
    shutil.copytree(model, tmp_path / "model")
    facts = json.loads((model / CARD).read_text())
    (tmp_path / "model" / CARD).write_text(json.dumps(facts | edit))
    with pytest.raises(UserError) as refused:
        Classifier(tmp_path / "model")
    assert words in str(refused.value) and "\n" not in str(refused.value)
