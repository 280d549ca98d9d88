"""A sequence is read as it was written; other files are refused."""

from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from common.keypoints.landmarks import LAYOUT, SIZE
from common.recording import sequence as sequences
from common.recording.sequence import KeypointSequence


def made(label: str = "wave", frames: int = 5) -> KeypointSequence:
    keypoints = np.random.default_rng(frames).random((frames, SIZE), np.float32)
    return KeypointSequence(label, keypoints, np.cumsum(np.full(frames, 40_000_000)), "anna", "cam", 25.0)


def test_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(sequences.pack(made("push up/right")))
    read = sequences.read(path)
    for field, before in made("push up/right")._asdict().items():
        np.testing.assert_array_equal(getattr(read, field), before)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut", None])
def test_a_damaged_file_is_named(tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(sequences.pack(made())[:-100] if damage is None else damage)
    with pytest.raises(UserError, match=r"a\.npz is not a sequence"):
        sequences.read(path)


def test_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", layout=np.array([object()], dtype=object))
    with pytest.raises(UserError, match="not a sequence"):
        sequences.read(tmp_path / "a.npz")


def save_outdated(path: Path) -> None:
    """As releases before 0.1.0 wrote a sequence."""
    fields = made()._asdict()
    np.savez(path, layout=LAYOUT, recorder=fields.pop("subject"), **fields)


def test_a_sequence_from_before_the_release_says_how_to_convert_it(tmp_path: Path) -> None:
    save_outdated(tmp_path / "a.npz")
    with pytest.raises(UserError, match=r"a\.npz is from before release 0\.1\.0: convert"):
        sequences.read(tmp_path / "a.npz")


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_found_in_its_frame(number: float) -> None:
    sequence = made()
    sequence.keypoints[3, 100] = number
    with pytest.raises(UserError, match="not finite in frame 3"):
        sequences.check_sequence(Path("a.npz"), sequence)
