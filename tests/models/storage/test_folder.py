"""A model folder is written atomically, and a work directory is kept for the same run only."""

import contextlib
import json
from pathlib import Path

import pytest

from common.errors import UserError
from common.recognition.classifier import CARD, read_card
from models.storage.folder import check_free, new_model_folder, work_dir, write_card
from tests.models.people import card


def test_a_folder_appears_when_all_is_in_it(tmp_path: Path):
    out = tmp_path / "new" / "model"
    with new_model_folder(out) as draft:
        write_card(draft, card())
        assert not out.exists()
    assert read_card(out) == card() and {path.name for path in out.parent.iterdir()} == {"model"}
    assert (out / CARD).read_text().startswith("{\n"), "a person can read it"


def test_a_failure_leaves_nothing(tmp_path: Path):
    with contextlib.suppress(ZeroDivisionError), new_model_folder(tmp_path / "model") as draft:
        (draft / "half").touch()
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
    (tmp_path / "model.part").mkdir()  # of a process that was killed
    (tmp_path / "model.part" / "half").touch()
    with new_model_folder(tmp_path / "model") as draft:
        assert not list(draft.iterdir())


def test_what_is_there_or_in_the_way_is_a_sentence(tmp_path: Path):
    (tmp_path / "file").touch()
    for there in (tmp_path, tmp_path / "file"):
        with pytest.raises(UserError, match="is there already: choose another --out"):
            check_free(there)
    with pytest.raises(UserError, match="cannot be written"), new_model_folder(tmp_path / "file" / "model"):
        pass
    with pytest.raises(UserError, match="cannot be written"), work_dir(tmp_path / "file" / "model", "work"):
        pass


def test_a_work_directory_is_kept_for_the_same_run(tmp_path: Path):
    out = tmp_path / "new" / "model"
    with contextlib.suppress(KeyboardInterrupt), work_dir(out, "one") as folder:
        (folder / "state").write_text("half")
        raise KeyboardInterrupt
    with contextlib.suppress(KeyboardInterrupt), work_dir(out, "one") as folder:
        assert (folder / "state").read_text() == "half"
        raise KeyboardInterrupt
    with work_dir(out, "other") as folder:
        assert not list(folder.iterdir())
    assert not list(out.parent.iterdir())


def test_two_processes_cannot_use_one_work_directory(tmp_path: Path):
    with work_dir(tmp_path / "model", "one") as folder:
        (folder / "state").touch()
        for run_key in ("one", "other"):
            with pytest.raises(UserError, match=r"model is being trained by another process"):
                work_dir(tmp_path / "model", run_key).__enter__()
        with work_dir(tmp_path / "beside", "one"):
            pass
        assert (folder / "state").exists()


def test_a_model_folder_from_before_release_0_1_0_is_refused_with_what_to_do(tmp_path: Path):
    write_card(tmp_path, card())
    fields = json.loads((tmp_path / CARD).read_text())
    fields["architecture"] = fields.pop("layers")
    (tmp_path / CARD).write_text(json.dumps(fields))
    with pytest.raises(UserError) as error:
        read_card(tmp_path)
    assert "`layers`; train, adapt or import it again." in str(error.value) and "\n" not in str(error.value)
