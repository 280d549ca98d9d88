"""Check the layout of the 1662 numbers against MediaPipe's own tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mediapipe.python.solutions.face_mesh_connections import FACEMESH_CONTOURS
from mediapipe.python.solutions.hands_connections import HAND_CONNECTIONS
from mediapipe.python.solutions.pose_connections import POSE_CONNECTIONS
from numpy.typing import NDArray

from common.keypoints import holistic  # noqa: F401 (keeps mediapipe below from importing tensorflow, 13 s)
from common.keypoints.landmarks import CONNECTIONS, PARTS, SHAPES, SIZE, SLICES, flatten, split
from tests.recording import detected_parts

subsets = st.sets(st.sampled_from(PARTS))


def parts(seed: int, names: set[str]) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(0.01, 1, SHAPES[name]).astype(np.float32) for name in names}


def test_size_and_order_are_those_of_the_notebook() -> None:
    assert SIZE == 33 * 4 + 468 * 3 + 21 * 3 + 21 * 3 == 1662
    assert [(part, SLICES[part].start) for part in PARTS] == [
        ("pose", 0), ("face", 132), ("left_hand", 1536), ("right_hand", 1599),
    ]  # fmt: skip


@given(st.integers(0, 2**32), subsets)
def test_split_is_the_inverse_of_flatten_and_absent_parts_are_zeros(seed: int, names: set[str]) -> None:
    given_parts = parts(seed, names)
    vector = flatten(given_parts)
    assert vector.dtype == np.float32 and vector.shape == (SIZE,)
    for part, values in split(vector).items():
        np.testing.assert_array_equal(values, given_parts.get(part, np.zeros(SHAPES[part])))


@given(st.integers(0, 2**32), st.integers(0, 4))
def test_flatten_is_the_inverse_of_split_and_split_takes_any_leading_axes(seed: int, frames: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(frames, 2, SIZE)).astype(np.float32)
    by_part = split(vectors)
    for i in np.ndindex(frames, 2):
        np.testing.assert_array_equal(flatten({part: values[i] for part, values in by_part.items()}), vectors[i])


@given(st.integers(0, 2**32), subsets)
def test_detected_parts_are_named_in_the_order_of_the_layout(seed: int, names: set[str]) -> None:
    assert detected_parts(flatten(parts(seed, names))) == tuple(part for part in PARTS if part in names)


@pytest.mark.parametrize(
    "bad", [{"tail": np.zeros((21, 3))}, {"pose": np.zeros((33, 3))}, {"face": np.zeros((478, 3))}]
)
def test_a_wrong_part_or_shape_is_refused_not_shifted(bad: dict[str, NDArray[np.float64]]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        flatten(bad)


def test_a_vector_of_another_layout_is_refused() -> None:
    with pytest.raises(ValueError, match="1692"):  # refine_face_landmarks
        split(np.zeros((30, 1692), np.float32))


@pytest.mark.parametrize(
    ("part", "edges"),
    [
        ("pose", POSE_CONNECTIONS),
        ("face", FACEMESH_CONTOURS),
        ("left_hand", HAND_CONNECTIONS),
        ("right_hand", HAND_CONNECTIONS),
    ],
)
def test_connections_are_mediapipes(part: str, edges: frozenset[tuple[int, int]]) -> None:
    ours = [frozenset(map(int, line)) for line in CONNECTIONS[part]]
    assert set(ours) == {frozenset(edge) for edge in edges}
    assert len(set(ours)) == len(ours)
