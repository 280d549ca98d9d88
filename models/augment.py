"""Windows in, the same movements elsewhere and larger or smaller in the picture out."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.landmarks import PARTS, SHAPES, SIZE, SLICES

MAX_SHIFT: Final = 0.12  # of the picture
MAX_ZOOM: Final = 1.2


def _columns(axis: int) -> NDArray[np.intp]:
    """Where x (0), y (1) or z (2) of all landmarks stand in a vector."""
    return np.concatenate([np.arange(SIZE)[SLICES[part]][axis :: SHAPES[part][1]] for part in PARTS])


X, Y, Z = (_columns(axis) for axis in range(3))


def move(windows: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """A copy of windows (n, length, 1662), each moved and zoomed about the picture's middle by one random amount.

    A network that sees each person at one place only learns the place. Absent parts stay zeros.
    """
    moved = windows.copy()
    shift = rng.uniform(-MAX_SHIFT, MAX_SHIFT, (2, len(windows), 1, 1)).astype(np.float32)
    zoom = np.exp(rng.uniform(-1, 1, (len(windows), 1, 1)) * np.log(MAX_ZOOM)).astype(np.float32)
    moved[..., X] = (windows[..., X] - 0.5) * zoom + 0.5 + shift[0]
    moved[..., Y] = (windows[..., Y] - 0.5) * zoom + 0.5 + shift[1]
    moved[..., Z] = windows[..., Z] * zoom
    for part in PARTS:
        absent = ~windows[..., SLICES[part]].any(axis=-1)
        moved[..., SLICES[part]][absent] = 0
    return moved
