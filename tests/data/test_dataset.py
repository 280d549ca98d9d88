"""The native data set: round trip, names that would leave it, files that are none."""

from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from data import dataset
from data.dataset import Sequence


def sequence(label: str = "wave", frames: int = 4) -> Sequence:
    keypoints = np.random.default_rng(frames).random((frames, 1662), np.float32)
    return Sequence(label, keypoints, np.arange(frames) * 40_000_000, "anna", "cam", 25.0)


@pytest.mark.parametrize("label", ["wave", "push up/right", "好", "👋"])
def test_what_is_written_is_read(tmp_path: Path, label: str):
    dataset.write(tmp_path, "001", sequence(label))
    (read,) = dataset.read(tmp_path)
    assert read.label == label
    assert (read.keypoints == sequence(label).keypoints).all()
    assert (read.captured_ns == sequence(label).captured_ns).all()
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("label", ["", "..", "../wave", "a/b/c", "/wave", "x" * 300, ".hidden", "a//b"])
def test_a_label_that_would_leave_its_folder_is_refused(tmp_path: Path, label: str):
    with pytest.raises(UserError, match="cannot name a label"):
        dataset.write(tmp_path / "set", "001", sequence(label))
    assert not (tmp_path / "set").exists()


def test_a_sequence_is_never_overwritten(tmp_path: Path):
    path = dataset.write(tmp_path, "001", sequence())
    before = path.read_bytes()
    with pytest.raises(UserError, match="there already"):
        dataset.write(tmp_path, "001", sequence(frames=9))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        {"keypoints": np.full((4, 1662), np.nan, np.float32)},
        {"keypoints": np.zeros((4, 1661), np.float32)},
        {"captured_ns": np.array([0, 2, 1, 3])},
        {"layout": "another"},
        {"recorder": np.array([{"an": "object"}], object)},
    ],
)
def test_a_file_that_is_wrong_is_named(tmp_path: Path, damage: dict):
    values = {"layout": "holistic-1662", **sequence()._asdict(), **damage}
    np.savez(tmp_path / "bad.npz", **values)
    with pytest.raises(UserError, match=r"bad\.npz"):
        dataset.read(tmp_path)


def test_a_cut_file_is_named(tmp_path: Path):
    path = dataset.write(tmp_path, "001", sequence())
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"001\.npz"):
        dataset.read(tmp_path)
