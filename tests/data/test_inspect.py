"""The command as a user types it: table, issues, contact sheet, corrections, and one sentence for a mistake."""

import os
from pathlib import Path

import numpy as np
import pytest

from common.errors import EXIT_USER_ERROR
from common.recording import sequence as sequences
from common.recording.dataset_writer import DatasetWriter, read_manifest
from data.dataset import read_named
from tests.commands import Done, call, run
from tests.common.recording.test_sequence import made


def inspect(*arguments: object) -> Done:
    return call("data.inspect", *arguments)


def refused(*arguments: object) -> str:
    """The one sentence."""
    done = inspect(*arguments)
    assert done.returncode == EXIT_USER_ERROR, done
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with DatasetWriter(tmp_path / "set") as writer:
        writer.add("anna-000", made("wave", frames=6), issues=["dark"])
        writer.add("anna-001", made("wave", frames=10))
        writer.add("anna-000", made("push up/right", frames=8))
    return tmp_path / "set"


def test_the_table_and_what_is_wrong(folder: Path) -> None:
    done = run("data.inspect", folder)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["wave", "1", "2", "6/8/10", "25.0", "100%", "100%", "100%"] in rows
    assert ["all", "1", "3", "6/8/10", "25.0", "100%", "100%", "100%"] in rows
    assert "- Few sequences: push up/right (1), wave (2)" in done.stdout
    assert "- Noted in the manifest, dark: wave/anna-000" in done.stdout


def test_a_sheet_of_a_notebooks_folder(tmp_path: Path) -> None:
    for number, row in enumerate(made().keypoints):
        (tmp_path / "MP_Data/[bold]wave/0").mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / f"MP_Data/[bold]wave/0/{number}.npy", row)
    done = inspect(tmp_path / "MP_Data", "--fps", 10, "--sheet", tmp_path / "sheet.html")
    assert (done.returncode, done.stderr) == (0, "")
    assert ["[bold]wave", "1", "1", "5/5/5", "10.0", "100%", "100%", "100%"] in map(str.split, done.stdout.splitlines())
    assert "[bold]wave/0" in (tmp_path / "sheet.html").read_text()


def test_a_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    sequence = os.path.join(os.fsencode(tmp_path), b"gr\xfcn", b"0")
    os.makedirs(sequence)
    np.save(Path(os.fsdecode(sequence)) / "0.npy", made().keypoints[0])
    assert list(read_named(tmp_path, 25.0)) == ["gr?n/0"]


def test_corrections_and_back(folder: Path) -> None:
    before = read_manifest(folder)
    assert inspect(folder, "--delete", "wave/anna-000").stdout == "Done: delete wave/anna-000. Undo it with --undo.\n"
    assert inspect(folder, "--relabel", "wave/anna-001", "hello").returncode == 0
    assert inspect(folder, "--trim", "hello/anna-001", "0.1", "0.2").returncode == 0
    assert {name: len(sequence.keypoints) for name, sequence in read_named(folder, 25.0).items()} == {
        "hello/anna-001": 3,
        "push up/right/anna-000": 8,
    }
    for undone in ("trim hello/anna-001 0.1 0.2", "relabel wave/anna-001 hello", "delete wave/anna-000"):
        assert inspect(folder, "--undo").stdout == f"Undone: {undone}.\n"
    assert read_manifest(folder) == before
    assert "nothing to undo" in refused(folder, "--undo")


def test_what_cannot_be_is_said_in_one_sentence(folder: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (tmp_path / "empty").mkdir()
    assert "nowhere" in refused(tmp_path / "nowhere")
    assert "is not a data set" in refused(tmp_path / "empty")
    assert "is no frame rate" in refused(folder, "--fps", "0")
    assert "no sequence wave/x" in refused(folder, "--delete", "wave/x")
    assert "not a number of seconds" in refused(folder, "--trim", "wave/anna-000", "0", "soon")
    assert "cannot be trimmed" in refused(folder, "--trim", "wave/anna-000", "-1", "0.2")
    assert "cannot be a label" in refused(folder, "--relabel", "wave/anna-000", "a/b/c")
    assert "python -m data.convert" in refused(tmp_path / "empty", "--undo")
    with DatasetWriter(folder):
        assert "Another program" in refused(folder, "--undo")
    assert not list((tmp_path / "empty").iterdir())
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_file_that_is_wrong_is_named(folder: Path) -> None:
    sequence = made("wave")
    sequence.keypoints[1, 7] = np.nan
    (folder / "wave/anna-001.npz").write_bytes(sequences.pack(sequence))
    assert "anna-001.npz holds a number that is not finite in frame 1" in refused(folder)


def test_the_notebooks_data_as_they_are(shared: Path) -> None:
    done = inspect(shared / "mp_data_mit" / "MP_Data", "--fps", 30)
    assert "- Few sequences: hello (8), iloveyou (8), thanks (8): record" in done.stdout
    assert len(read_named(shared / "mp_data_mit" / "MP_Data", 30.0)) == 24
