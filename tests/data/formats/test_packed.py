"""Packed sets are read as they were packed; other files are refused."""

import json
import lzma
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from data import dataset

SCALE = 64
VALUES = np.random.default_rng(0).integers(-200, 200, (3, 5, 132)).astype(np.int16)


def packed(header: dict, values: np.ndarray = VALUES) -> bytes:
    text = json.dumps(header).encode()
    steps = np.diff(values, axis=1, prepend=np.int16(0)).transpose(0, 2, 1)
    planes = np.ascontiguousarray(steps).reshape(-1, 1).view(np.uint8).T
    return lzma.compress(len(text).to_bytes(4, "little") + text + planes.tobytes())


HEADER = {"shape": VALUES.shape, "scale": SCALE, "labels": ["a", "b", "a"], "recorder": "anna"}


def test_what_was_packed_comes_out(tmp_path: Path):
    (tmp_path / "set.xz").write_bytes(packed(HEADER))
    for path in (tmp_path, tmp_path / "set.xz"):
        sequences = dataset.read(path, fps=20.0)
        assert [sequence.label for sequence in sequences] == ["a", "b", "a"]
        assert {sequence.subject for sequence in sequences} == {"anna"}
        assert np.diff(sequences[0].captured_ns).tolist() == [50_000_000] * 4
        np.testing.assert_array_equal([sequence.keypoints[:, :132] for sequence in sequences], VALUES / SCALE)
        assert not sequences[0].keypoints[:, 132:].any()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "not a packed set"),
        (b"no lzma", "not a packed set"),
        (packed(HEADER)[:-40], "not a packed set"),
        (packed(HEADER | {"scale": 0}), "scale"),
        (packed(HEADER | {"shape": (3, 6, 132)}), "not a packed set"),
        (packed(HEADER | {"shape": (3, -5, 132)}), "shape"),
        (packed(HEADER | {"labels": ["a"]}), "3 sequences, but 1 labels"),
        (packed(HEADER | {"shape": (3, 132, 5)}), r"5\)"),
    ],
)
def test_what_is_no_packed_set_is_refused(tmp_path: Path, content: bytes, what: str):
    (tmp_path / "set.xz").write_bytes(content)
    with pytest.raises(UserError, match=what):
        dataset.read(tmp_path)


def test_the_sets_that_are_about(shared: Path):
    assert len(dataset.read(shared / "ten_actions.xz")) == 300
    signers = dataset.read(shared / "signers")
    assert (len(signers), len({sequence.subject for sequence in signers})) == (1080, 24)
