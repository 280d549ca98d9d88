"""Check that writes are atomic, on full disks and after crashes too."""

import resource
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.config import DEFAULT_FILE
from common.files import JsonLinesWriter, atomic_write
from tests.pace import patience

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


def lines(path: Path) -> list[object]:
    content = path.read_bytes()
    assert not content or content.endswith(b"\n")
    return [msgspec.json.decode(line) for line in content.splitlines()]


@given(st.lists(st.lists(VALUES, max_size=4), max_size=4))
def test_each_added_record_is_one_line_after_the_existing_ones(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[object]]
) -> None:
    path = tmp_path_factory.mktemp("jsonl") / "x.jsonl"
    for batch in batches:  # a file each, as after a restart
        file = JsonLinesWriter(path)
        for value in batch:
            file.add(value)
        assert file.pending == len(batch)
        file.flush()
        assert file.pending == 0
        file.close()
    assert not batches or lines(path) == [value for batch in batches for value in batch]


@pytest.mark.parametrize("half", [b"", b"{", b'{"id": 2, "la', b"\xff" * 5000])
@pytest.mark.parametrize("whole", [b"", b'{"id":1}\n', b'{"id":0}\n{"id":1}\n'])
def test_a_partial_line_of_a_killed_process_is_removed(tmp_path: Path, whole: bytes, half: bytes) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(whole + half)
    file = JsonLinesWriter(path)
    assert path.read_bytes() == whole
    file.add({"id": 9})
    file.flush()
    file.close()
    assert path.read_bytes() == whole + b'{"id":9}\n'


def test_nothing_is_written_before_flush(tmp_path: Path) -> None:
    file = JsonLinesWriter(tmp_path / "x.jsonl")
    file.add(1)
    assert lines(file.path) == []
    file.close()


FULL_DISK = """
import resource, sys
from pathlib import Path
from common.files import JsonLinesWriter, atomic_write
from tests.pace import patience

path = Path(sys.argv[1])
file = JsonLinesWriter(path)
file.add({"id": 0})
file.flush()
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, hard))  # room for two lines of three
for id in (1, 2, 3):
    file.add({"id": id})
for _ in range(2):
    try:
        file.flush()
    except OSError:
        print(file.pending, len(path.read_bytes().splitlines()), path.read_bytes()[-1:])
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
file.add({"id": 4})
file.flush()
print(file.pending)
"""


def test_on_a_full_disk_no_half_line_stays_nothing_is_lost_and_it_is_written_later(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    path = tmp_path / "x.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)],
        cwd=DEFAULT_FILE.parent.parent, capture_output=True, text=True, timeout=patience(60), check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["3 1 b'\\n'", "3 1 b'\\n'", "0"], done.stderr
    assert lines(path) == [{"id": id_} for id_ in range(5)]


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"before")
    (tmp_path / "a.txt.part").mkdir()  # a draft cannot be made
    with pytest.raises(OSError, match="directory"):
        atomic_write(path, b"after")
    assert path.read_bytes() == b"before"
