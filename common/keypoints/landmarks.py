"""Define the order of the 1662 landmark numbers of a frame, and the lines that connect the landmarks.

The layout is that of the notebook nicknochnack/ActionDetectionforSignLanguage and of the data sets made with it: pose
33 x (x, y, z, visibility), face 468 x (x, y, z), left hand 21 x (x, y, z), right hand 21 x (x, y, z). x is in widths
and y in heights of the frame, from its upper left corner. A part that was not detected is zeros.
"""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

LAYOUT: Final = "holistic-1662"

SHAPES: Final[dict[str, tuple[int, int]]] = {
    "pose": (33, 4),
    "face": (468, 3),
    "left_hand": (21, 3),
    "right_hand": (21, 3),
}
PARTS: Final = tuple(SHAPES)


def _slices() -> dict[str, slice]:
    slices, start = {}, 0
    for part, (points, values) in SHAPES.items():
        slices[part] = slice(start, start + points * values)
        start += points * values
    return slices


SLICES: Final = _slices()
SIZE: Final = SLICES["right_hand"].stop

# Vectors of other projects hold some or all of the parts, one after the other; their size says which.
VECTOR_SIZES: Final[dict[int, tuple[str, ...]]] = {
    SIZE: PARTS,
    258: ("pose", "left_hand", "right_hand"),
    132: ("pose",),
    126: ("left_hand", "right_hand"),
}

MIN_VISIBILITY: Final = 0.5  # of a pose landmark that is more likely in view than guessed
NOSE: Final = 0
LEFT_SHOULDER, RIGHT_SHOULDER = 11, 12
LEFT_WRIST, RIGHT_WRIST = 15, 16
LEFT_HIP, RIGHT_HIP = 23, 24
LEFT_ANKLE, RIGHT_ANKLE = 27, 28


def flatten(parts: Mapping[str, NDArray[np.floating]]) -> NDArray[np.float32]:
    """Concatenate arrays of SHAPES to one float32 (1662,); a missing part becomes zeros.

    Raises:
        ValueError: for an unknown part or a wrong shape.
    """
    vector = np.zeros(SIZE, np.float32)
    for part, values in parts.items():
        if part not in SHAPES or np.shape(values) != SHAPES[part]:
            raise ValueError(f"{part} {np.shape(values)} is not one of {SHAPES}")
        vector[SLICES[part]] = np.ravel(values)
    return vector


def split(vectors: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Split vectors (..., 1662) into views of shape (..., points, values) by part: the inverse of `flatten`."""
    if vectors.shape[-1] != SIZE:
        raise ValueError(f"a vector of {LAYOUT} has {SIZE} numbers, this one {vectors.shape[-1]}")
    return {part: vectors[..., SLICES[part]].reshape(*vectors.shape[:-1], *SHAPES[part]) for part in PARTS}


def _lines(*paths: Iterable[int]) -> NDArray[np.intp]:
    """Return pairs (n, 2) of landmark numbers to connect, from paths through landmarks."""
    return np.array([pair for path in paths for pair in pairwise(path)], np.intp)


_HAND: Final = _lines(
    (0, 1, 2, 3, 4), (0, 5, 6, 7, 8), (9, 10, 11, 12), (13, 14, 15, 16), (0, 17, 18, 19, 20), (5, 9, 13, 17)
)  # fmt: skip

# The same edges as MediaPipe's POSE_CONNECTIONS, HAND_CONNECTIONS and FACEMESH_CONTOURS; a test compares.
CONNECTIONS: Final[dict[str, NDArray[np.intp]]] = {
    "pose": _lines(
        (7, 3, 2, 1, 0, 4, 5, 6, 8),
        (9, 10),
        (11, 12, 24, 23, 11),
        (11, 13, 15, 17, 19, 15, 21),
        (12, 14, 16, 18, 20, 16, 22),
        (23, 25, 27, 29, 31, 27),
        (24, 26, 28, 30, 32, 28),
    ),
    "face": _lines(
        (10, 109, 67, 103, 54, 21, 162, 127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378,
         379, 365, 397, 288, 361, 323, 454, 356, 389, 251, 284, 332, 297, 338, 10),
        (0, 37, 39, 40, 185, 61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0),
        (13, 82, 81, 80, 191, 78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13),
        (249, 263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249),
        (276, 283, 282, 295, 285),
        (300, 293, 334, 296, 336),
        (7, 33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
        (46, 53, 52, 65, 55),
        (70, 63, 105, 66, 107),
    ),
    "left_hand": _HAND,
    "right_hand": _HAND,
}  # fmt: skip
