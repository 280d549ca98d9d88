"""What each stage makes of the same recording stays the same, on any machine: tests/recording.py has it stored.

`pytest -n0 -s --update-golden` shows and accepts a change.
"""

import difflib
import itertools
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from common import config
from common.bus.messages import Action, Message, Recording
from common.config import Settings
from common.keypoints.landmarks import split
from common.runtime.service import Service
from common.video import drawing
from common.video.testcard import TestCard
from services.inference import Inference
from services.logger import Logger
from services.recorder import Recorder
from services.windows import Windows
from tests.services.test_stages import play

FOLDER = Path(__file__).parent.parent / "golden"
EVERY = 20  # of the messages that come with every frame, every so many are kept
TOLERANCE = 0.002  # numbers are kept to three digits, and other processors add up otherwise


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Any:
    """Compares records with tests/golden/<name>.jsonl, numbers within a tolerance."""

    def compare(name: str, records: Iterable[dict[str, Any]], tolerance: float = TOLERANCE) -> None:
        path, now = FOLDER / f"{name}.jsonl", [json.dumps(_rounded(record)) for record in records]
        before = path.read_text().splitlines() if path.exists() else []
        change = "\n".join(difflib.unified_diff(before, now, "before", "now", n=0, lineterm=""))
        if request.config.getoption("--update-golden"):
            path.write_text("".join(line + "\n" for line in now))
            print(change or f"{name}: no change")
        else:
            same = _alike([json.loads(line) for line in before], [json.loads(line) for line in now], tolerance)
            assert same, f"{name} has changed; if that is right, run pytest -n0 -s --update-golden:\n{change}"

    return compare


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    return round(value, 3) if isinstance(value, float) else value


def _alike(one: Any, other: Any, tolerance: float = TOLERANCE) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[key], other[key], tolerance) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other, itertools.repeat(tolerance)))
    if isinstance(one, float) or isinstance(other, float):
        return isinstance(one, float | int) and math.isclose(one, other, abs_tol=tolerance, rel_tol=tolerance)
    return bool(one == other)


def described(message: Message) -> dict[str, Any]:
    """A message without the times of its run; of landmarks, where each part lies and how far it spreads."""
    header, array = message
    record = msgspec.to_builtins(header)
    del record["ingested_ns"], record["start"]
    if array is not None and array.size:
        parts = split(array).items()
        record |= {part: [float(v[..., :2].mean()), float(v[..., :2].std())] for part, v in parts}
    return dict(record)


def of_interest(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Every action and every end; of what comes with every frame, some."""
    return [
        described(message)
        for message in messages
        if isinstance(message.header, Action) or message.header.end_of_stream or message.header.seq % EVERY == 0
    ]


def ready(stage: Service) -> Service:
    stage.setup()
    return stage


def test_a_difference_is_found_and_rounding_is_not() -> None:
    assert _alike([{"a": 1.0, "b": [0.5]}], [{"a": 1.001, "b": [0.501]}])
    assert not _alike([{"a": 1.0}], [{"a": 1.01}])
    assert not _alike([{"a": "nod"}], [{"a": "tilt"}])
    assert not _alike([{"a": 1}], [{"a": 1}, {"a": 2}])


@pytest.fixture(scope="module")
def inferred(recording: list[Message]) -> list[Message]:
    """What inference sends."""
    return play(ready(Inference(config.load())), play(ready(Windows(config.load())), recording))


def test_keypoints(recording: list[Message], golden: Any) -> None:
    golden("keypoints", of_interest(recording))


def test_windows(recording: list[Message], golden: Any) -> None:
    golden("windows", of_interest(play(ready(Windows(config.load())), recording)))


def test_predictions_and_actions(inferred: list[Message], golden: Any) -> None:
    golden("inference", of_interest(inferred))


def test_log(inferred: list[Message], settings: Settings, golden: Any, tmp_path: Path) -> None:
    stage = Logger(msgspec.structs.replace(settings, logger=config.Logger(out=str(tmp_path))))
    play(ready(stage), inferred)
    stage.close()
    golden("predictions", (json.loads(x) for x in (tmp_path / "predictions.jsonl").read_text().splitlines()[::EVERY]))
    golden("actions", (json.loads(x) for x in (tmp_path / "actions.jsonl").read_text().splitlines()))


def test_recorder(recording: list[Message], settings: Settings, golden: Any, tmp_path: Path) -> None:
    chosen = msgspec.structs.replace(settings.recorder, out=str(tmp_path), labels=["nod", "shake"], sequences=2)
    stage = Recorder(msgspec.structs.replace(settings, recorder=chosen))
    sent = play(ready(stage), recording)
    stage.close()
    golden("recorder", (described(m) for m in sent if isinstance(m.header, Recording) and m.header.seq % EVERY == 0))


def test_overlay(recording: list[Message], golden: Any) -> None:
    """The skeleton on its frame, as the overlay draws it: what it adds, coarsely."""
    records = []
    for header, vector in recording[:-1:60]:
        before = TestCard(0).frame(header.captured_ns / 1e9)
        after = before.copy()
        assert vector is not None
        drawing.draw_skeleton(after, vector)
        rows = np.abs(after.astype(int) - before).mean(axis=2).reshape(6, 80, 8, 80).mean(axis=(1, 3))
        records.append({"seq": header.seq, "drawn": (rows / rows.max()).tolist()})
    golden("overlay", records, tolerance=10 * TOLERANCE)  # a line may cover another pixel
