"""A .csv with wrong columns is refused with how to correct them; corrected so, it is read."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from common.keypoints.landmarks import SLICES
from common.recording.sequence import KeypointSequence
from data import dataset
from data.extraction.videos import find_videos
from data.formats import parquet

RNG = np.random.default_rng(0)


def written(path: Path, header: list[object], lines: list[list[object]], separator: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=separator).writerows([header, *lines] if header else lines)
    return path


def numbers(count: int, frames: int = 3) -> list[list[object]]:
    return RNG.random((frames, count)).round(3).tolist()


def names(count: int) -> list[object]:
    return [f"kp_{number}" for number in range(count)]


POSE = 132
CASES: list[tuple[list[object], Callable[[int, list[object]], list[object]], int, str]] = [
    (["", *range(POSE)], lambda n, row: [n, *row], POSE, r"133 columns \('', '0', .* remove '', .*one called class"),
    (["nr", *names(POSE), "wort"], lambda n, row: [n + 7, *row, "x"], POSE, "remove 'nr', .* rename 'wort' to class"),
    ([*names(63), "label"], lambda _, row: [*row, "x"], 63, "'kp_62', 'label'.*rename 'label' to .*the 63 that"),
    ([*names(POSE), "Label"], lambda _, row: [*row, 3], POSE, r"rename 'Label' to class and put it before .*s\.$"),
    (["label", *names(POSE)], lambda _, row: ["x", *row], POSE, r"rename 'label' to class\.$"),
    ([*names(9), "kind", *names(123)], lambda _, row: [*row[:9], 2, *row[9:]], POSE, "rename 'kind' to class"),
    (["class", "frame", *names(POSE)], lambda n, row: ["x", n, *row], POSE, r"\) remove 'frame', of no landmark\.$"),
    (["class", *names(64)], lambda _, row: ["x", *row], 64, r"65 columns .* bring the 64 .* to 1662 \(pose"),
    (["class", "subject", "sequence", *names(POSE)], lambda n, row: ["x", "anna", n, *row], POSE, "class, seq.*, sub"),
    ([], lambda _, row: ["x", *row], POSE, "numbers where the names of columns belong"),
    ([], lambda _, row: row, POSE, "numbers where the names of columns belong"),
]  # fmt: skip


@pytest.mark.parametrize(("header", "line", "count", "said"), CASES)
def test_columns_that_will_not_do_are_shown_with_what_to_do(
    tmp_path: Path, header: list[object], line: Callable[[int, list[object]], list[object]], count: int, said: str
) -> None:
    path = written(tmp_path / "a.csv", header, [line(number, row) for number, row in enumerate(numbers(count))])
    with pytest.raises(UserError, match=rf"a\.csv: its first line is neither class,x1,\.\.\. .*{said}"):
        dataset.read(path)


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_another_separator_is_named(tmp_path: Path, separator: str) -> None:
    lines = [["x", *row] for row in numbers(POSE)]
    path = written(tmp_path / "a.csv", ["class", *names(POSE)], lines, separator)
    with pytest.raises(UserError, match=r"separated by '.{1,2}': save it with commas"):
        dataset.read(path)


def test_an_empty_table_is_said_to_be_empty(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.csv.*it is empty"):
        dataset.read(written(tmp_path / "a.csv", [], []))


def test_what_is_missing_in_a_table_is_not_seen(tmp_path: Path) -> None:
    lines: list[list[object]] = [["x", *row] for row in numbers(POSE)]
    lines[0][1:5] = ["", "NaN", "NA", "null"]
    (read,) = dataset.read(written(tmp_path / "a.csv", ["class", *names(POSE)], lines))
    assert not read.keypoints[0, :4].any()
    assert read.keypoints[0, SLICES["pose"]][4:].all()


# --- names that contradict what their numbers would be read as


def points(count: int, form: str = "{axis}{point}", axes: str = "xyz") -> list[object]:
    return [form.format(axis=axis, point=point) for point in range(count) for axis in axes]


RIGHT, LEFT = points(21, "rh_{axis}{point}"), points(21, "lh_{axis}{point}")


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ([*RIGHT, *LEFT], "'rh_x0' is where x of left hand"),
        ([*points(21, "r_{point}_{axis}"), *points(21, "l_{point}_{axis}")], "'r_0_x' is where x of left hand"),
        ([*points(21, "Right Hand {point} {axis}"), *points(21, "Left Hand {point} {axis}")], "'Right Hand 0 x' is"),
        ([*points(33, axes="xyzv"), *RIGHT, *LEFT], "'rh_x0' is where x of left hand"),
        ([*LEFT, *RIGHT, *points(33, axes="xyzv")], "'lh_x0' is where x of pose"),
        ([f"{axis}{point}" for axis in "xyzv" for point in range(33)], "'x1' is where y of pose"),
        (points(44), "'x1' is where v of pose"),
        (points(66, axes="yx"), "'y0' is where x of pose"),
        ([f"hand_{number}" for number in range(132)], "'hand_0' is where x of pose"),
    ],
)
def test_names_that_contradict_their_place_are_refused(tmp_path: Path, header: list[object], said: str) -> None:
    lines = [["x", *row] for row in numbers(len(header))]
    with pytest.raises(UserError, match=rf"a\.csv: column {said}.* belongs: order the numbers as 1662 \(pose"):
        dataset.read(written(tmp_path / "a.csv", ["class", *header], lines))


@pytest.mark.parametrize(
    "header",
    [
        [f"x{number}" for number in range(132)],
        [*LEFT, *RIGHT],
        points(42),
        points(42, "hand{point}_{axis}"),
        [*points(33, "pose_{point}_{axis}", "xyzv"), *points(21, "left_{point}_{axis}"), *points(21, "right_{axis}")],
        points(33, "left_wrist_{point}_{axis}", "xyzv"),
    ],
)  # fmt: skip
def test_names_that_agree_or_say_nothing_are_accepted(tmp_path: Path, header: list[object]) -> None:
    lines = [["x", *row] for row in numbers(len(header))]
    assert len(dataset.read(written(tmp_path / "a.csv", ["class", *header], lines))) == 1


# --- files that are no tables


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
@pytest.mark.parametrize("read", [find_videos, dataset.read])
def test_another_encoding_is_asked_to_be_utf_8(tmp_path: Path, encoding: str, read: Callable[[Path], object]) -> None:
    (tmp_path / "a.csv").write_text("path,label,class\na.mp4,Grüße,Grüße\n", encoding=encoding)
    with pytest.raises(UserError, match=r"a\.csv .* it is not in UTF-8: save it as CSV UTF-8\.$"):
        read(tmp_path / "a.csv")


@pytest.mark.parametrize("read", [find_videos, dataset.read])
def test_a_field_without_end_is_said_to_be_one(tmp_path: Path, read: Callable[[Path], object]) -> None:
    (tmp_path / "a.csv").write_text('path,label\n"' + "a.mp4,x\n" * 20_000)
    with pytest.raises(UserError, match="fields has more than 131072 characters: is a quotation mark not closed"):
        read(tmp_path / "a.csv")


def test_a_list_of_parquet_files_may_have_a_mark_and_must_be_utf_8(tmp_path: Path) -> None:
    sequence = KeypointSequence("Grüße", RNG.random((2, 1662)).astype(np.float32), np.arange(2), "anna", "", 25.0)
    parquet.write(tmp_path / "set", [sequence])
    train = tmp_path / "set" / "train.csv"
    text = train.read_text(encoding="utf-8")
    train.write_text(text, encoding="utf-8-sig")
    assert [read.label for read in dataset.read(tmp_path / "set")] == ["Grüße"]
    train.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"train\.csv is not a list .* save it as CSV UTF-8"):
        dataset.read(tmp_path / "set")


def test_a_row_for_each_landmark_is_distinguished_from_a_row_for_each_frame(tmp_path: Path) -> None:
    header: list[object] = ["frame", "row_id", "type", "landmark_index", "x", "y", "z"]
    path = written(tmp_path / "a.csv", header, [[20, "20-face-0", "face", 0, 0.5, 0.5, 0.1]])
    with pytest.raises(UserError, match=r"a row per landmark.* save it as <label>/<file>\.parquet") as error:
        dataset.read(path)
    assert "rename" not in str(error.value)
