"""A model folder is written whole or not at all, and a desk stays for the same work alone."""

import contextlib
from pathlib import Path

import pytest

from common.errors import UserError
from common.recognition.classifier import CARD, read_card
from models.storage.folder import check_free, desk, write_card, written
from tests.models.people import card


def test_a_folder_appears_when_all_is_in_it(tmp_path: Path):
    out = tmp_path / "new" / "model"
    with written(out) as draft:
        write_card(draft, card())
        assert not out.exists()
    assert read_card(out) == card() and {path.name for path in out.parent.iterdir()} == {"model"}
    assert (out / CARD).read_text().startswith("{\n"), "a person can read it"


def test_what_fails_leaves_nothing(tmp_path: Path):
    with contextlib.suppress(ZeroDivisionError), written(tmp_path / "model") as draft:
        (draft / "half").touch()
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
    (tmp_path / "model.part").mkdir()  # of a process that was killed
    (tmp_path / "model.part" / "half").touch()
    with written(tmp_path / "model") as draft:
        assert not list(draft.iterdir())


def test_what_is_there_or_in_the_way_is_a_sentence(tmp_path: Path):
    (tmp_path / "file").touch()
    for there in (tmp_path, tmp_path / "file"):
        with pytest.raises(UserError, match="is there already: choose another --out"):
            check_free(there)
    with pytest.raises(UserError, match="cannot be written"), written(tmp_path / "file" / "model"):
        pass
    with pytest.raises(UserError, match="cannot be written"), desk(tmp_path / "file" / "model", "work"):
        pass


def test_a_desk_is_kept_for_the_same_work(tmp_path: Path):
    out = tmp_path / "new" / "model"
    with contextlib.suppress(KeyboardInterrupt), desk(out, "one") as folder:
        (folder / "state").write_text("half")
        raise KeyboardInterrupt
    with contextlib.suppress(KeyboardInterrupt), desk(out, "one") as folder:
        assert (folder / "state").read_text() == "half"
        raise KeyboardInterrupt
    with desk(out, "other") as folder:
        assert not list(folder.iterdir())
    assert not list(out.parent.iterdir())


def test_two_cannot_sit_at_one_desk(tmp_path: Path):
    with desk(tmp_path / "model", "one") as folder:
        (folder / "state").touch()
        for work in ("one", "other"):
            with pytest.raises(UserError, match=r"model is being trained by another process"):
                desk(tmp_path / "model", work).__enter__()
        with desk(tmp_path / "beside", "one"):
            pass
        assert (folder / "state").exists()
