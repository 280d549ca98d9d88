"""The bus's token: one for all, however many need it first, kept from other users; or an error of one sentence."""

import subprocess
import sys
from pathlib import Path

import pytest

from common import config
from common.bus.connection import Endpoints
from common.bus.errors import BusError
from common.bus.token import FILE_VARIABLE, read_token, token_path
from tests.pipeline import ROOT

PROCESSES = 4
AT_ONCE = """
import sys
from pathlib import Path
from common.bus.token import read_token
print("ready", flush=True)
sys.stdin.readline()
print("\\n".join(read_token(Path(sys.argv[1]) / f"run-{number}" / "token").decode() for number in range(200)))
"""


def test_it_is_made_where_there_is_none_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "actionstream" / "token"
    token = read_token(path)
    assert len(token) == 64
    assert read_token(path) == token
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["token"]


def test_processes_that_need_it_at_once_agree(tmp_path: Path) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", AT_ONCE, str(tmp_path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    for process in started:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate()[0].split() for process in started]
    assert len(said[0]) == 200
    assert all(tokens == said[0] for tokens in said)
    assert len(set(said[0])) == 200


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(FILE_VARIABLE, raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert token_path() == tmp_path / ".local" / "state" / "actionstream" / "token"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert token_path() == tmp_path / "state" / "actionstream" / "token"
    monkeypatch.setenv(FILE_VARIABLE, "~/shared")
    assert token_path() == tmp_path / "shared"
    assert config.load().bus.endpoints.token() == read_token(tmp_path / "shared")
    assert Endpoints.from_env(None, None, str(tmp_path / "given")).token() == read_token(tmp_path / "given")


@pytest.mark.parametrize(("mode", "shown"), [(0o640, "0640"), (0o604, "0604"), (0o660, "0660")])
def test_one_that_others_can_read_is_refused(tmp_path: Path, mode: int, shown: str) -> None:
    path = tmp_path / "token"
    read_token(path)
    path.chmod(mode)
    with pytest.raises(BusError, match=rf"{path} \(mode {shown}\): chmod 600"):
        read_token(path)


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 256, b"with a space in it", b"\xff\x00" * 20])
def test_what_is_no_token_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(BusError, match=f"{path} is not a token"):
        read_token(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("path", ["file/token", "folder", "/dev/null/none/token"])
def test_the_error_names_a_folder_that_cannot_hold_it(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(BusError, match=rf"{path} cannot be read or made \(.*bus\.token_file"):
        read_token(tmp_path / path)


def test_the_error_names_an_unknown_user() -> None:
    with pytest.raises(BusError, match=r"token ~nobody-of-that-name/token is in no user's home: .*bus\.token_file"):
        token_path("~nobody-of-that-name/token")


def test_services_end_with_that_error() -> None:
    command = [sys.executable, "-m", "services.monitor", "--once", "0.1", "--set", "bus.token_file=/dev/null/token"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1 and "bus.token_file" in ended.stderr
