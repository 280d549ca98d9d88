"""Decision parameters are fitted to streams, and written into the card if they are better."""

from pathlib import Path

import msgspec
import pytest

from common.recognition.classifier import read_card
from common.recognition.decision import Parameters
from models.storage.folder import write_card
from models.training.card import save
from models.training.trainer import Trainer
from tests.commands import call, run
from tests.models.test_train import collected
from tests.models.training.test_trainer import HEIGHTS, config, group


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "model"
    folder.mkdir()
    trainer = Trainer(group("idle", *HEIGHTS, each=4), config())
    save(folder, trainer.fit())
    return folder


def test_bad_parameters_are_replaced_and_good_ones_stay(tmp_path: Path, model: Path):
    data = collected(tmp_path / "carl", group("idle", *HEIGHTS, each=2, subjects=("carl",), frames=30))
    insensitive = Parameters(start_threshold=1.0, end_threshold=1.0, min_duration_s=5.0)
    card = msgspec.structs.replace(read_card(model), decision=insensitive)
    write_card(model, card)
    first = run("models.tune_decision", model, data)
    assert first.returncode == 0, first.stderr
    found = read_card(model)
    assert found.decision != insensitive
    assert msgspec.structs.replace(found, decision=insensitive) == card
    assert "segmental F1@0.5 IoU 0.000" in first.stdout.splitlines()[0]
    again = call("models.tune_decision", model, data)
    assert "stays as it is" in again.stdout
    assert read_card(model) == found


def test_data_that_does_not_fit_is_refused_in_a_sentence(tmp_path: Path, model: Path):
    before = read_card(model)
    data = collected(tmp_path / "others", group("idle", "jump", each=2, subjects=("carl",)))
    for given in ((model, data), (model, tmp_path / "none"), (tmp_path, data)):
        ran = call("models.tune_decision", *given)
        assert (ran.returncode, ran.stdout) == (2, "")
        assert ran.stderr.strip().count("\n") == 0
    assert read_card(model) == before
