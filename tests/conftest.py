"""What several tests stand on: a recording of the test card by the real Holistic, and default settings."""

from pathlib import Path

import pytest

from common import config
from common.messages import Keypoints, Message

CARD_SEED = 0  # the shipped model was trained on seeds from 101
CARD_S = 12.0  # a rest, a nod, a rest and the most of a shake


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="take what comes out now as right, and show the change"
    )


@pytest.fixture(scope="session")
def recording() -> list[Message]:
    """What the keypoints topic carries for the first seconds of a test card, end included."""
    from common.holistic import Holistic
    from common.smoothing import PoseSmoother
    from common.testcard import TestCard

    card, holistic, smoother, messages = TestCard(CARD_SEED), Holistic(), PoseSmoother(), []
    for seq in range(int(CARD_S * 25)):
        captured_ns = seq * 40_000_000
        vector, seen, scale_px = holistic(card.frame(captured_ns / 1e9), captured_ns)
        header = Keypoints(stream="cam", seq=seq, captured_ns=captured_ns, entered_ns=captured_ns, seen=seen)
        messages.append(Message(header, smoother(vector, captured_ns, scale_px, (640, 480))))
    holistic.close()
    seq = len(messages)
    messages.append(Message(Keypoints(stream="cam", seq=seq, captured_ns=0, entered_ns=0, live=False, end=True)))
    return messages


@pytest.fixture(scope="session")
def shared() -> Path:
    """Recordings and clips of people, which are not part of the project."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the recordings in {folder}")
    return folder


@pytest.fixture
def settings() -> config.Settings:
    return config.load()
