"""Keys of a real terminal are read, and the terminal is restored however the process ends."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

import pytest

from tests.pace import patience
from tests.pipeline import ROOT

READER = """
import time
from common.recording.keyboard import KeyReader
keys = KeyReader()
print("reading", flush=True)
typed = ""
while "q" not in typed:
    typed += keys.read()
    time.sleep(0.01)
keys.close()
print(typed, flush=True)
"""


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """What the person types into, and the program's end."""
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


@contextlib.contextmanager
def reader(terminal: int) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-c", READER]
    with subprocess.Popen(command, cwd=ROOT, stdin=terminal, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"reading\n"
            yield process
        finally:
            process.kill()


def shows_what_is_typed(terminal: int) -> bool:
    flags = termios.tcgetattr(terminal)[3]
    return bool(flags & termios.ECHO) and bool(flags & termios.ICANON)


def test_keys_come_without_return_and_the_terminal_is_as_before(terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    before = termios.tcgetattr(theirs)
    with reader(theirs) as process:
        assert not shows_what_is_typed(theirs)
        os.write(ours, b"pq")
        assert process.wait(patience(5)) == 0
        assert process.stdout is not None
        assert process.stdout.read() == b"pq\n"
    assert termios.tcgetattr(theirs) == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_reader_that_is_killed_leaves_a_terminal_that_shows_what_is_typed(
    terminal: tuple[int, int], number: int
) -> None:
    _, theirs = terminal
    before = termios.tcgetattr(theirs)
    with reader(theirs) as process:
        process.send_signal(number)
        process.wait(patience(5))
    deadline = time.monotonic() + patience(5)
    while termios.tcgetattr(theirs) != before:
        assert time.monotonic() < deadline, "the terminal was left without echo"
        time.sleep(0.01)
    assert shows_what_is_typed(theirs)
