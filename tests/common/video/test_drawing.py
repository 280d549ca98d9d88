"""Check that what is drawn stays inside the image and is where it should be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from common.bus.messages import Action
from common.keypoints.landmarks import PARTS, SHAPES, SIZE, flatten
from common.video.drawing import (
    BAR_ACTIVE,
    COLOURS,
    RED,
    VERDICTS,
    WHITE,
    draw_probabilities,
    draw_sentence,
    draw_skeleton,
    draw_status,
    draw_verdict,
)

sizes = st.tuples(st.integers(16, 200), st.integers(16, 200))


def black(width: int = 160, height: int = 120) -> NDArray[np.uint8]:
    return np.zeros((height, width, 3), np.uint8)


def body(*parts: str, visibility: float = 1.0, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    values = {part: rng.uniform(0.2, 0.8, SHAPES[part]).astype(np.float32) for part in parts}
    if "pose" in values:
        values["pose"][:, 3] = visibility
    return flatten(values)


def action(label: str, verdict: str | None = None) -> Action:
    return Action(stream="cam", seq=0, captured_ns=0, ingested_ns=0, label=label, verdict=verdict)


def colours(image: NDArray[np.uint8]) -> set[tuple[int, ...]]:
    return {tuple(colour) for colour in image.reshape(-1, 3).tolist()} - {(0, 0, 0)}


@pytest.mark.parametrize("part", PARTS)
def test_each_part_is_drawn_in_its_colour_and_an_absent_one_not_at_all(part: str) -> None:
    image = black()
    draw_skeleton(image, body(part))
    assert colours(image) == {COLOURS[part]}


def test_without_a_person_nothing_is_drawn() -> None:
    image = black()
    draw_skeleton(image, np.zeros(SIZE, np.float32))
    assert not image.any()


def test_joints_that_are_likely_out_of_sight_are_not_drawn() -> None:
    image = black()
    draw_skeleton(image, body("pose", visibility=0.4))
    assert not image.any()
    one_arm = body("pose", visibility=0.0)
    one_arm[[11 * 4 + 3, 13 * 4 + 3]] = 1
    draw_skeleton(image, one_arm)
    assert colours(image) == {COLOURS["pose"]}


def test_x_is_in_widths_and_y_in_heights() -> None:
    image = black(200, 100)
    vector = body("pose", visibility=0.0)
    vector[11 * 4 : 11 * 4 + 4] = 0.1, 0.5, 0, 1
    vector[12 * 4 : 12 * 4 + 4] = 0.9, 0.5, 0, 1
    draw_skeleton(image, vector)
    rows, columns = np.nonzero(image.any(axis=2))
    assert (columns.min(), columns.max()) == (pytest.approx(20, abs=2), pytest.approx(180, abs=2))
    assert abs(rows - 50).max() <= 2


@given(sizes, st.floats(-1e6, 1e6, width=32), st.floats(-1e6, 1e6, width=32))
def test_landmarks_far_outside_do_not_overflow(size: tuple[int, int], x: float, y: float) -> None:
    vector = body(*PARTS)
    vector[0:8:4], vector[1:8:4] = x, y
    draw_skeleton(black(*size), vector)


@given(sizes, st.dictionaries(st.text(max_size=30), st.floats(0, 1), max_size=12), st.lists(st.text(max_size=40)))
def test_any_label_can_be_drawn_on_any_image(
    size: tuple[int, int], probabilities: dict[str, float], words: list[str]
) -> None:
    image = black(*size)
    draw_probabilities(image, probabilities, next(iter(probabilities), None))
    draw_sentence(image, [action(word, verdict) for word in words for verdict in (None, "right")])
    for word in words:
        draw_verdict(image, action(word, "wrong"))
    draw_status(image, " ".join(words))
    assert image.shape == (size[1], size[0], 3)


def test_a_bar_is_as_long_as_its_probability_and_green_while_active() -> None:
    lengths = []
    for probability in (0.25, 0.5, 1.0):
        image = black(640, 480)
        draw_probabilities(image, {"hello": probability}, "hello")
        lengths.append(int((image == BAR_ACTIVE).all(axis=2).any(axis=0).nonzero()[0].max()))
    assert lengths[2] - lengths[1] == pytest.approx(2 * (lengths[1] - lengths[0]), abs=3)
    image = black(640, 480)
    draw_probabilities(image, {"hello": 1.0}, None)
    assert not (image == BAR_ACTIVE).all(axis=2).any()


def test_of_a_long_sentence_the_last_words_stay() -> None:
    many, last = black(320, 240), black(320, 240)
    draw_sentence(many, [action("first")] * 50 + [action("last")])
    draw_sentence(last, [action("first")] * 50 + [action("lost")])
    assert (many != last).any()  # the newest word is on it
    draw_sentence(last, [])
    assert not many[60:].any()


@pytest.mark.parametrize(("verdict", "colour"), [("right", BAR_ACTIVE), ("wrong", RED), ("left", None), (None, None)])
def test_right_is_framed_in_green_and_wrong_in_red_and_else_nothing(verdict: str | None, colour: object) -> None:
    image = black(640, 480)
    draw_verdict(image, action("push up", verdict))
    assert colours(image) == ({colour} if colour else set())
    if colour:
        edges = [image[:12], image[-12:], image[:, :12], image[:, -12:]]
        assert all((edge == colour).all() for edge in edges)
        assert image[400:450, 160:480].any()  # the words


def test_a_word_has_the_colour_of_its_verdict() -> None:
    image = black(640, 480)
    draw_sentence(image, [action("push up", "right"), action("push up", "wrong"), action("wave")])
    places = [(image == colour).all(axis=2).any(axis=0).nonzero()[0] for colour in (*VERDICTS.values(), WHITE)]
    assert places[0].max() < places[1].min() and places[1].max() < places[2].min()


def test_the_bars_of_an_active_action_are_coloured_by_verdict() -> None:
    image = black(640, 480)
    draw_probabilities(image, {"push up/right": 1.0, "push up/wrong": 1.0, "sit up/wrong": 1.0}, "push up")
    green, red = ((image == colour).all(axis=2).any(axis=1).nonzero()[0] for colour in VERDICTS.values())
    assert 54 <= green.min() <= green.max() < 88 <= red.min() <= red.max() < 122
