"""Fixtures of several tests: a recording of the test card, and default settings."""

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from common import config
from common.bus.messages import Message
from tests.recording import keypoints, stored

# A shared processor may take its time over an example.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="accept the present output as correct, and show the change"
    )


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tokens of tests are not those of whoever runs them, and signals that nohup or a shell ignores are heeded."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that start pipelines come first: they take longest, and a worker that is done early runs the short ones."""
    files = {item.path for item in items}
    long = {path for path in files if re.search(r"\bpipeline\(", path.read_text())}
    items.sort(key=lambda item: item.path not in long)
    for item in items:
        if getattr(item.obj, "is_hypothesis_test", False):  # a hundred examples: coverage would double their time
            item.add_marker(pytest.mark.no_cover)


@pytest.fixture(scope="session")
def recording() -> list[Message]:
    """What the keypoints topic carries for the first 12 s of a test card, end included."""
    return keypoints(stored())


@pytest.fixture(scope="session")
def shared() -> Path:
    """Recordings and clips of people, which are not part of the project."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the recordings in {folder}")
    return folder


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    """Closes what a test opened, in reverse order, however the test ends."""
    with contextlib.ExitStack() as closing:
        yield closing


@pytest.fixture
def settings() -> config.Settings:
    return config.load()
