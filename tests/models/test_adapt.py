"""Adapting: new labels from a few sequences, little is forgotten, and what cannot be adapted is refused."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from common.errors import UserError
from common.recognition.classifier import CARD, Classifier, read_card
from models.storage.folder import write_card
from models.training.adaptation import adapt
from models.training.card import save
from models.training.recipe import Recipe
from models.training.trainer import VALIDATION, Trainer
from models.training_data import rehearsal
from models.training_data.training_set import TrainingSet
from tests.commands import call, run
from tests.models.test_train import collected
from tests.models.training.test_trainer import HEIGHTS, LENGTH, config, group, performed

OWN_HEIGHT = 0.75  # of a hand below those of nod and wave


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, checkpoints = (tmp_path_factory.mktemp(name) for name in ("model", "checkpoints"))
    trainer = Trainer(group("idle", *HEIGHTS, each=4), config("ridge"))
    validation = msgspec.structs.replace(trainer.validate(), epochs=16)  # fast: one network is enough
    (checkpoints / VALIDATION).write_bytes(msgspec.json.encode(validation))
    trainer = trainer.with_recipe(Recipe(hidden_size=16))
    save(folder, trainer.fit(checkpoints))
    return folder


def test_the_command_adds_a_label_and_keeps_the_old_ones(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch):
    own = [performed("point", height=OWN_HEIGHT, subject="me", seed=seed) for seed in range(3)]
    data, out = collected(tmp_path / "me", own), tmp_path / "mine"
    arguments = ("models.adapt", model, data, "--out", out)
    ran = run(*arguments)
    assert ran.returncode == 0, ran.stderr
    assert "fine-tuned on 3 sequences, new labels: point; rehearsal accuracy " in ran.stdout
    before, card, classify = read_card(model), read_card(out), Classifier(out)
    assert card.labels == [*before.labels, "point"]
    assert card.data["subjects"] == ["anna", "bert", "me"]
    assert len(card.data["fingerprints"]) == len(before.data["fingerprints"]) + 3
    others = [performed("point", height=OWN_HEIGHT, subject="me", seed=seed) for seed in range(10, 14)]
    others += group(*HEIGHTS, each=2)
    predicted = classify(np.stack([one.keypoints[:LENGTH] for one in others])).argmax(axis=1)
    assert [card.labels[number] for number in predicted] == [one.label for one in others]
    again = call(*arguments)
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert "is there already" in again.stderr
    monkeypatch.setattr("models.training.adaptation.EPOCHS", 1)
    assert adapt(out, own).card.labels == card.labels  # it can be adapted again


def test_a_new_idle_label_is_idle(model: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("models.training.adaptation.EPOCHS", 1)
    own = [performed("rest", idle_frames=LENGTH, subject="me", seed=seed) for seed in range(3)]
    assert adapt(model, own).card.idle == ["idle", "rest"]


def test_what_cannot_be_adapted_is_refused(tmp_path: Path, model: Path):
    own = [performed("nod", subject="me")]
    with pytest.raises(UserError, match=r"'nod' and 'Nod', which read alike"):
        adapt(model, [*own, performed("Nod", height=0.4)])
    with pytest.raises(UserError, match=r"No sequence of 'clap' has the 8 frames"):
        adapt(model, [*own, performed("clap", height=0.4, frames=LENGTH - 1)])
    card = read_card(model)
    write_card(tmp_path, msgspec.structs.replace(card, recipe={}))
    (tmp_path / "model.keras").write_bytes((model / "model.keras").read_bytes())
    with pytest.raises(UserError, match=r"has no rehearsal.npz"):
        adapt(tmp_path, own)
    (tmp_path / rehearsal.REHEARSAL).write_bytes(b"no numbers")
    with pytest.raises(UserError, match=r"rehearsal.npz is damaged"):
        adapt(tmp_path, own)
    (tmp_path / "model.keras").rename(tmp_path / "model.onnx")
    with pytest.raises(UserError, match=r"has no model.keras"):
        adapt(tmp_path, own)
    with pytest.raises(UserError, match="is not a model folder"):
        adapt(tmp_path / "none", own)
    assert {path.name for path in tmp_path.iterdir()} == {CARD, rehearsal.REHEARSAL, "model.onnx"}


def test_rehearsal_data_has_windows_of_each_label(tmp_path: Path):
    rng = np.random.default_rng(0)
    targets = np.eye(3, dtype=np.float32)[np.repeat([0, 1, 2], [200, 60, 3])]
    targets[0] = 0.4, 0.6, 0.0  # a transition
    features = rng.normal(0, 1, (2, len(targets), 4, 5)).astype(np.float32)
    features[:, :, 0, 0] = np.arange(len(targets))
    numbers = np.arange(len(targets))
    rehearsal.save(tmp_path, TrainingSet(features, np.stack([targets] * 2), np.ones(len(targets)), numbers), 0)
    kept = rehearsal.load(tmp_path, 4)
    assert kept.targets[0].sum(axis=0).tolist() == [rehearsal.MAX_PER_LABEL, rehearsal.MAX_PER_LABEL, 3, 0]
    assert kept.sample_weight.sum() == pytest.approx(1)
    assert kept.sample_weight @ kept.targets[0] == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])
    numbers = kept.features[0, :, 0, 0].astype(int)
    assert 0 not in numbers and len(set(numbers)) == len(numbers)
    np.testing.assert_array_equal(kept.targets[0][:, :3], targets[numbers])
