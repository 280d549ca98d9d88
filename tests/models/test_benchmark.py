"""The benchmark: what it prints and writes for small data sets by the same names, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest

from models.benchmark import Measurement, splits
from tests.commands import call, run
from tests.data.formats.test_packed import packed
from tests.models.training.test_trainer import HEIGHTS, group

SCALE = 4096


def test_splits_share_no_subject_and_test_each_once():
    sequences = group("idle", "wave", subjects=tuple("abcdefg"))
    tested_so_far = []
    for train, test in splits(sequences):
        names = {one.subject for one in test}
        assert not names & {one.subject for one in train}
        assert len(train) + len(test) == len(sequences)
        tested_so_far += sorted(names)
    assert sorted(tested_so_far) == list("abcdefg")


def test_a_target_is_reached_from_its_side():
    assert Measurement(on="", metric="", value=0.9, target=0.9).reached
    assert not Measurement(on="", metric="", value=0.9, target=0.91).reached
    assert not Measurement(on="", metric="", value=0.9, target=0.8, lower_is_better=True).reached
    assert Measurement(on="", metric="", value=0.9).reached


def test_measurements_are_printed_and_written(tmp_path: Path):
    sequences, out = group("idle", *HEIGHTS, each=5, subjects=("anna",), frames=30), tmp_path / "bench.json"
    values = np.round(np.stack([one.keypoints for one in sequences]) * SCALE).astype(np.int16)
    header = {"shape": values.shape, "scale": SCALE, "labels": [one.label for one in sequences]}
    (tmp_path / "ten_actions.xz").write_bytes(packed(header, values))
    arguments = (tmp_path, "--only", "ten_actions", "speed", "--architecture", "forest", "--json", out)
    ran = run("models.benchmark", *arguments)
    assert ran.returncode == 0, ran.stderr
    measured = {(one["on"], one["metric"]): one["value"] for one in json.loads(out.read_bytes())}
    assert measured["ten_actions, 5 folds", "accuracy"] > 0.9
    assert measured["one window", "ms"] > 0
    assert all(on in ran.stdout for on, _ in measured)


@pytest.mark.parametrize("only", ["signers", "speed"])
def test_missing_data_is_named(tmp_path: Path, only: str):
    for data in (tmp_path, tmp_path / "none"):
        ran = call("models.benchmark", data, "--only", only)
        assert (ran.returncode, ran.stderr.strip().count("\n")) == (2, 0)
        assert str(data) in ran.stderr
