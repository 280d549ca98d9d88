"""The command that evaluates a model: on the test card, on other formats, and on data that does not fit."""

import json
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest

from common.bus.messages import Message
from common.errors import UserError
from common.keypoints.landmarks import SLICES
from common.recognition.classifier import WindowSpec
from common.recognition.decision import Parameters
from common.recording.dataset_writer import DatasetWriter
from common.recording.sequence import KeypointSequence
from common.video.testcard import schedule
from data.extraction.testcard import MARGIN_S
from models.evaluation import evaluator, report
from models.evaluation.evaluator import Evaluation
from tests.commands import call, run
from tests.models.people import LABELS, card, read_number, sequence
from tests.pipeline import ROOT


def refused(*arguments: object) -> str:
    asked = call("models.evaluate", *arguments)
    assert (asked.returncode, asked.stderr.count("\n"), asked.stdout) == (2, 1, ""), asked.stderr
    return asked.stderr


@pytest.fixture(scope="module")
def cards(recording: list[Message], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 12 s of a test card that the shipped model has not seen."""
    folder = tmp_path_factory.mktemp("data") / "cards"
    frames = [message for message in recording if message.array is not None]
    times, keypoints = np.array([m.header.captured_ns for m in frames]), np.stack([m.array for m in frames])
    with DatasetWriter(folder) as collection:
        for number, (label, start_s, end_s) in enumerate(schedule(0, 12.0)):
            inside = (times >= (start_s - MARGIN_S) * 1e9) & (times < (end_s + MARGIN_S) * 1e9)
            collection.add(
                f"{number:03d}", KeypointSequence(label, keypoints[inside], times[inside], "card-0", "cam", 25.0)
            )
    return folder


@pytest.fixture(scope="module")
def people() -> dict[str, KeypointSequence]:
    """Three of each label by two subjects; one has a wrong label, some names contain HTML."""
    named = {
        f"{label}/{who}-{number}": sequence(label, subject=who, seed=number)
        for label in LABELS
        for who in ("anna", "<b>$x$")
        for number in range(3)
    }
    return named | {"nod/<script>": sequence("wave", seed=9)._replace(label="nod")}


@pytest.fixture(scope="module")
def result(people: dict[str, KeypointSequence]) -> Evaluation:
    return evaluator.evaluate(read_number, card(data={"subjects": ["anna"]}), people)


def test_the_shipped_model_on_the_test_card(cards: Path, tmp_path: Path):
    asked = run(
        "models.evaluate",
        "pretrained/testcard",
        cards,
        "--json",
        tmp_path / "new" / "out.json",
        "--report",
        tmp_path / "page",
    )
    assert asked.returncode == 0, asked.stderr
    assert "segmental F1@0.1 IoU 1.000" in asked.stdout and "shake" in asked.stdout
    content = json.loads((tmp_path / "new" / "out.json").read_text())
    assert content["sequences"]["accuracy"] >= 0.75 and content["windows"]["accuracy"] > 0.85
    assert content["stream"]["f1"]["0.5"] == 1.0 and content["stream"]["false_positives_per_minute"] == 0
    assert 0.5 < content["stream"]["start_latency"]["p50"] < 2 and len(content["warnings"]) == 1
    assert "Warning: 1 of 5 sequences are too short" in asked.stderr
    assert [span[0] for span in content["ground_truth"]] == ["nod", "shake"]
    assert (tmp_path / "page" / report.PAGE_NAME).stat().st_size > 50_000


def test_what_does_not_fit_is_one_sentence_that_names_both_sides(cards: Path, tmp_path: Path):
    other = tmp_path / "other"
    with DatasetWriter(other) as collection:
        collection.add("000", sequence("nod")._replace(label="Nod"))
    assert "says 'Nod' where the model says 'nod'" in refused("pretrained/testcard", other)
    (tmp_path / "empty").mkdir()
    assert "is not a data set" in refused("pretrained/testcard", tmp_path / "empty")
    assert "is not a model folder" in refused(tmp_path, cards)
    assert "--stride 0 is not valid: give 1 or more" in refused("pretrained/testcard", cards, "--stride", 0)
    (tmp_path / "file").touch()
    assert "file" in refused("pretrained/testcard", cards, "--report", tmp_path / "file" / "below")


def test_a_card_that_was_edited(cards: Path, tmp_path: Path):
    model = tmp_path / "model"
    shutil.copytree(ROOT / "pretrained" / "testcard", model)
    content = json.loads((model / "card.json").read_text())
    (model / "card.json").write_text(json.dumps(content | {"labels": ["rest", "nod", "shake"]}))
    assert "they do not belong together" in refused(model, cards)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": {"subjects": "anna"}}, "`data` of the model's card cannot be read"),
        (
            {"decision": Parameters(start_threshold=0.2, end_threshold=0.9)},
            "decision.end_threshold is 0.9: it must not be above decision.start_threshold, 0.2",
        ),
        (
            {"window": WindowSpec(length=30, fps=0.5)},
            "windows of 30 frames at 0.5 frames/s, but the longest sequence has",
        ),
    ],
)
def test_a_card_whose_numbers_were_edited(people: dict[str, KeypointSequence], change: dict[str, object], words: str):
    with pytest.raises(UserError, match=re.escape(words)):
        evaluator.evaluate(read_number, card(**change), people)


def test_other_formats(shared: Path):
    """Thirty frames each, as the notebook writes them, and labels that the model does not know."""
    asked = refused("pretrained/testcard", shared / "mp_data_mit" / "MP_Data")
    assert "labels that the model does not know" in asked and "it knows 'nod', 'rest', 'shake', 'tilt'" in asked


def test_ten_actions_pass_in_seconds(shared: Path):
    sys.path.insert(0, str(shared))
    from load import load  # type: ignore[import-not-found]

    sys.path.remove(str(shared))
    windows, labels, _ = load(shared / "ten_actions.xz")
    times = np.arange(30) * 40_000_000
    named = {
        f"{label}/{number}": KeypointSequence(label, keypoints, times, "unknown", "", 25.0)
        for number, (keypoints, label) in enumerate(zip(windows[::10], labels[::10], strict=True))
    }
    known = sorted(set(labels))
    means = np.stack([windows[np.array(labels) == label].mean(axis=(0, 1)) for label in known])

    def nearest(some: np.ndarray) -> np.ndarray:
        distances = np.square(some.mean(axis=1)[:, None] - means).sum(axis=-1)
        return np.exp(-distances) / np.exp(-distances).sum(axis=1, keepdims=True)

    shape = msgspec.structs.replace(card().window, length=30)
    result = evaluator.evaluate(nearest, card(labels=known, idle=[], window=shape), named)
    assert result.sequences.count == result.windows.count == len(named) == 30
    assert result.sequences.accuracy > 0.3 and result.stream.actions == 30
    assert [case.probability for case in result.cases] == sorted(case.probability for case in result.cases)


def test_sequences_are_evaluated_by_the_mean_of_their_windows(result: Evaluation, people: dict[str, KeypointSequence]):
    assert result.sequences.count == len(people) and result.windows.count == 21 * len(people)
    assert result.sequences.accuracy == 24 / 25
    assert (result.cases[0].name, result.cases[0].label, result.cases[0].predicted) == ("nod/<script>", "nod", "wave")
    assert result.sequences.spread.max == 1.0 and list(result.sequences.accuracy_by_subject) == ["anna", "<b>$x$"]
    assert result.stream.actions == 19 and result.stream.detected == 18
    assert result.warnings == ["The model was trained on recordings of anna, of 2 subjects here."]


def test_the_stride_and_short_sequences(people: dict[str, KeypointSequence]):
    short = sequence("wave", frames=5)
    result = evaluator.evaluate(read_number, card(), people | {"wave/short": short}, stride=3)
    assert result.windows.count == 7 * len(people) and result.sequences.count == len(people)
    assert "1 of 26 sequences are too short for a window" in result.warnings[-1]
    with pytest.raises(
        UserError, match=r"windows of 10 frames at 25 frames/s, but the longest sequence has 5 in 0\.16 s"
    ):
        evaluator.evaluate(read_number, card(), {"wave/short": short})


def test_one_label_and_a_pose_alone_can_be_evaluated():
    poses = sequence("wave")
    poses.keypoints[:, SLICES["pose"].stop :] = 0
    result = evaluator.evaluate(read_number, card(), {"wave/0": poses})
    assert result.sequences.accuracy == 1.0 and result.stream.detected == 1
    assert len(result.warnings) == 2


def test_probabilities_that_are_not_finite_are_refused():
    def broken(windows: np.ndarray) -> np.ndarray:
        return np.full((len(windows), len(LABELS)), np.nan, np.float32)

    with pytest.raises(UserError, match="are not finite"):
        evaluator.evaluate(broken, card(), {"wave/0": sequence("wave")})


class Texts(HTMLParser):
    """The tags of a page, and its texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.texts = set[str](), list[str]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_needs_no_network_and_escapes_what_it_shows(
    result: Evaluation, people: dict[str, KeypointSequence], tmp_path: Path
):
    path = report.write(tmp_path / "page", "<title> & 東京", result, people)
    page = path.read_text()
    parsed = Texts(page)
    assert not {"script", "b>$x$"} & parsed.tags and "<title> & 東京" in parsed.texts
    assert any(text.startswith("nod/<script> by anna: wave (1.00) instead of nod (0.00)") for text in parsed.texts)
    assert not re.search(r"https?://", page) and page.count("data:image/svg+xml") == 3
    assert report.write(tmp_path / "page", "again", result, people) == path and "again" in path.read_text()


def test_a_page_of_a_model_that_detects_nothing(people: dict[str, KeypointSequence], tmp_path: Path):
    def uniform(windows: np.ndarray) -> np.ndarray:
        return np.full((len(windows), len(LABELS)), 0.25, np.float32)

    result = evaluator.evaluate(uniform, card(), people)
    assert result.detections == [] and result.stream.start_latency is None
    assert "0 of 19 actions detected" in report.page("nothing", result, people)


def test_a_page_that_cannot_be_written_is_a_sentence(
    result: Evaluation, people: dict[str, KeypointSequence], tmp_path: Path
):
    (tmp_path / "page").touch()
    with pytest.raises(UserError, match=r"report\.html cannot be written"):
        report.write(tmp_path / "page", "x", result, people)
