"""Data sets are written atomically, and the manifest agrees with the files."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import UserError
from common.recording import sequence as sequences
from common.recording.dataset_writer import MANIFEST, DatasetWriter, read_manifest
from tests.common.recording.test_sequence import made, save_outdated
from tests.pipeline import python


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_what_is_added_is_there_and_in_the_manifest(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "set") as writer:
        writer.add("anna-000", made(), origin="a.mp4", issues=["lost the person"])
        writer.add("anna-000", made("push up/right"))
        assert writer.count("wave", "anna") == 1
        assert writer.next_name("wave", "anna") == "anna-001"
    entries = read_manifest(tmp_path / "set")
    assert list(entries) == ["wave/anna-000.npz", "push up/right/anna-000.npz"]
    entry = entries["wave/anna-000.npz"]
    assert (entry.frames, entry.subject, entry.origin, entry.issues) == (5, "anna", "a.mp4", ["lost the person"])
    assert sequences.read(tmp_path / "set/push up/right/anna-000.npz").label == "push up/right"


def test_nothing_is_written_over(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path) as writer:
        path = writer.add("a", made())
        before = path.read_bytes()
        with pytest.raises(UserError, match="there already"):
            writer.add("a", made(frames=7))
        assert path.read_bytes() == before


def test_a_second_writer_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path), pytest.raises(UserError, match="Another program is writing"):
        DatasetWriter(tmp_path)
    DatasetWriter(tmp_path).close()


def test_a_writer_that_is_killed_leaves_no_lock(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from common.recording.dataset_writer import DatasetWriter
writer = DatasetWriter(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""
    with python("-c", program, tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(UserError, match="Another program"):
            DatasetWriter(tmp_path)
        process.send_signal(signal.SIGKILL)
    DatasetWriter(tmp_path).close()


def test_manifest_and_files_agree_again_after_a_crash(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path) as writer:
        writer.add("a", made(), origin="kept")
        writer.add("b", made())
        writer.add("c", made())
    (tmp_path / "wave/b.npz").unlink()  # removed by hand
    (tmp_path / "wave/d.npz").write_bytes(sequences.pack(made()))  # written, and killed before the manifest
    (tmp_path / "wave/e.npz.part").write_bytes(b"half")
    with (tmp_path / MANIFEST).open("ab") as manifest:
        manifest.write(b'{"file":"wave/d')  # half a line
    with DatasetWriter(tmp_path) as writer:
        assert sorted(writer.entries) == ["wave/a.npz", "wave/c.npz", "wave/d.npz"]
        assert writer.entries["wave/a.npz"].origin == "kept"
    assert read_manifest(tmp_path).keys() == writer.entries.keys()
    assert "wave/e.npz.part" not in files(tmp_path)


def test_a_data_set_from_before_the_release_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "wave").mkdir()
    save_outdated(tmp_path / "wave" / "a.npz")
    line = b'{"file":"wave/a.npz","label":"wave","recorder":"anna","frames":5,"fps":25.0,"written":"2026-11-01"}\n'
    (tmp_path / MANIFEST).write_bytes(line)
    with pytest.raises(UserError, match=r"a\.npz is from before release 0\.1\.0: convert"):
        DatasetWriter(tmp_path)
    assert (tmp_path / MANIFEST).read_bytes() == line


def test_a_full_disk_leaves_all_that_was_there(tmp_path: Path) -> None:
    """A limit on file size stands for the full disk: the write itself fails."""
    with DatasetWriter(tmp_path) as writer:
        writer.add("a", made())
    program = """
import resource, signal, sys
from pathlib import Path
from common.recording.dataset_writer import DatasetWriter
from tests.common.recording.test_sequence import made
from tests.pipeline import python
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
with DatasetWriter(Path(sys.argv[1])) as writer:
    writer.add("b", made())
"""
    before = {file: (tmp_path / file).read_bytes() for file in files(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, cwd=os.getcwd())
    assert "cannot be written" in done.stderr
    assert {file: (tmp_path / file).read_bytes() for file in files(tmp_path)} == before


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("no folder")
    with pytest.raises(UserError, match="cannot be written"):
        DatasetWriter(tmp_path / "set")


def test_what_lies_beside_a_sequence_goes_with_it(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path) as writer:
        writer.add("a(1)", made())
        writer.add("a(1)2", made())
        (tmp_path / "wave/a(1).mp4").write_bytes(b"video")
        writer.remove("wave/a(1).npz")
    assert files(tmp_path) == [".lock", MANIFEST, "wave/a(1)2.npz"]
    assert list(read_manifest(tmp_path)) == ["wave/a(1)2.npz"]
