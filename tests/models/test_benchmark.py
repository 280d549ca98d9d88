"""The bench: what it prints and writes on small sets in the same places, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest

from models.benchmark import Figure, splits
from tests.commands import call, run
from tests.data.formats.test_packed import packed
from tests.models.training.test_trainer import HEIGHTS, group

SCALE = 4096


def test_who_judges_does_not_teach_and_everybody_judges_once():
    sequences = group("idle", "wave", subjects=tuple("abcdefg"))
    judged = []
    for rest, tested in splits(sequences):
        names = {one.subject for one in tested}
        assert not names & {one.subject for one in rest}
        assert len(rest) + len(tested) == len(sequences)
        judged += sorted(names)
    assert sorted(judged) == list("abcdefg")


def test_a_goal_is_reached_from_its_side():
    assert Figure(on="", what="", value=0.9, goal=0.9).reached
    assert not Figure(on="", what="", value=0.9, goal=0.91).reached
    assert not Figure(on="", what="", value=0.9, goal=0.8, at_most=True).reached
    assert Figure(on="", what="", value=0.9).reached


def test_the_figures_are_printed_and_written(tmp_path: Path):
    sequences, out = group("idle", *HEIGHTS, each=5, subjects=("anna",), frames=30), tmp_path / "bench.json"
    values = np.round(np.stack([one.keypoints for one in sequences]) * SCALE).astype(np.int16)
    header = {"shape": values.shape, "scale": SCALE, "labels": [one.label for one in sequences]}
    (tmp_path / "ten_actions.xz").write_bytes(packed(header, values))
    asked = (tmp_path, "--only", "ten_actions", "speed", "--model", "forest", "--json", out)
    ran = run("models.benchmark", *asked)
    assert ran.returncode == 0, ran.stderr
    figures = {(figure["on"], figure["what"]): figure["value"] for figure in json.loads(out.read_bytes())}
    assert figures["ten_actions, 5 folds", "accuracy"] > 0.9
    assert figures["one window", "ms"] > 0
    assert all(on in ran.stdout for on, _ in figures)


@pytest.mark.parametrize("only", ["signers", "speed"])
def test_what_is_not_there_is_named(tmp_path: Path, only: str):
    for data in (tmp_path, tmp_path / "none"):
        ran = call("models.benchmark", data, "--only", only)
        assert (ran.returncode, ran.stderr.strip().count("\n")) == (2, 0)
        assert str(data) in ran.stderr
