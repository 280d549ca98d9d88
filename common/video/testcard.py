"""Generate the frames of a synthetic camera: a head that nods, shakes, tilts or rests.

It is the public-domain portrait of Grace Hopper that matplotlib installs, with only the head warped: the pixels are
real enough for MediaPipe, and `schedule` returns the ground truth.
"""

from bisect import bisect_right
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

LABELS = ("rest", "nod", "shake", "tilt")

FIRST_REST_S = (2.0, 3.0)
ACTION_S = (2.0, 3.5)
REST_S = (1.5, 3.0)
RAMP_S = 0.35  # onset and offset of a movement
ACTION_HZ = (1.1, 1.9)  # so the shortest action still repeats twice
STRENGTH = (0.8, 1.2)  # times SWING

# Displacements of the head are (right, down, roll): pixels of the 512x600 portrait and radians.
SWING = {"rest": (0, 0, 0), "nod": (0, 24, 0), "shake": (55, 0, 0), "tilt": (0, 0, 0.055)}
SWAY = np.array([1.5, 1.2, 0.002])
SWAY_HZ = np.array([[0.13, 0.17, 0.11], [0.37, 0.29, 0.41]])  # no common period: no two seconds are alike

NECK = (266.0, 370.0)  # the head rolls about this point of the portrait
NOISE = 6  # levels: the sensor noise spans 0 to twice this
NOISE_SLACK = 64  # the noise field is larger than the frame by this, and each frame cuts its own window


class Segment(NamedTuple):
    """What the head does from `start_s` up to, not including, `end_s`, in seconds since the first frame."""

    label: str
    start_s: float
    end_s: float


class _Move(NamedTuple):
    segment: Segment
    hz: float
    strength: float  # signed: some swings begin to the left, or upwards


def _script(seed: int) -> Iterator[_Move]:
    """Yield an endless schedule: each round has every action once, shuffled, with rests between."""
    rng = np.random.default_rng(seed)

    def move(label: str, start_s: float, limits_s: tuple[float, float]) -> _Move:
        segment = Segment(label, start_s, start_s + rng.uniform(*limits_s))
        return _Move(segment, rng.uniform(*ACTION_HZ), rng.uniform(*STRENGTH) * rng.choice([-1, 1]))

    yield (last := move("rest", 0.0, FIRST_REST_S))
    while True:
        for index in rng.permutation(len(LABELS) - 1):
            yield (last := move(LABELS[index + 1], last.segment.end_s, ACTION_S))
            yield (last := move("rest", last.segment.end_s, REST_S))


def schedule(seed: int, seconds: float) -> list[Segment]:
    """Return the ground truth of card `seed`: contiguous segments from 0 to `seconds`; more seconds only append."""
    begun = takewhile(lambda move: move.segment.start_s < seconds, _script(seed))
    return [segment._replace(end_s=min(segment.end_s, seconds)) for segment, _, _ in begun]


def _smoothstep(x: NDArray[np.float32]) -> NDArray[np.float32]:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _portrait() -> NDArray[np.uint8]:
    """Return the portrait, uint8 (600, 512, 3) BGR, without importing matplotlib, which takes a second."""
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the test card's portrait comes with matplotlib, which is not installed")
    path = Path(spec.origin).parent / "mpl-data" / "sample_data" / "grace_hopper.jpg"
    image = cv2.imread(str(path))
    if image is None:
        raise FileNotFoundError(f"no readable portrait at {path}")
    return np.asarray(image, np.uint8)


class TestCard:
    """A camera whose frames are a pure function of (seed, width, height, t): any t, in any order.

    Raises ValueError below 160x120 pixels; FileNotFoundError or ModuleNotFoundError without the portrait.
    """

    __test__ = False  # pytest would take it for a test

    def __init__(self, seed: int = 0, width: int = 640, height: int = 480) -> None:
        if width < 160 or height < 120:
            raise ValueError(f"a test card needs at least 160x120 pixels, not {width}x{height}")
        rng = np.random.default_rng([seed, 1])  # other numbers than the schedule's
        self._phase = rng.uniform(size=SWAY_HZ.shape)
        self._script = _script(seed)
        self._moves = [next(self._script)]
        # Head, shoulders and most of the chest; a few percent of the chest leaves the frame below.
        portrait = _portrait()
        self._scale = min(height / 600, width / 512) * rng.uniform(0.92, 1.02)
        left = width / 2 + (rng.uniform(-0.05, 0.05) - 0.5) * 512 * self._scale
        top = height - rng.uniform(0.92, 0.97) * 600 * self._scale
        self._base = self._compose(portrait, left, top, (width, height), rng.uniform(0.85, 1.1))
        self._prepare_warp(left, top)
        noise = rng.normal(NOISE, NOISE / 3, (height + NOISE_SLACK, width + NOISE_SLACK, 3))
        self._noise = noise.round().clip(0, 2 * NOISE).astype(np.uint8)

    def _compose(
        self, portrait: NDArray[np.uint8], left: float, top: float, size: tuple[int, int], brightness: float
    ) -> NDArray[np.uint8]:
        """Return the still image, feathered into the blue of its own backdrop, darker by the mean of the noise."""
        small = cv2.resize(portrait, None, fx=self._scale, fy=self._scale, interpolation=cv2.INTER_AREA)
        rows, columns = np.indices(small.shape[:2], np.float32)
        edge = np.minimum(np.minimum(columns, columns[:, ::-1]), rows)  # the lower edge is outside the frame
        alpha = _smoothstep(edge / (30 * self._scale))[..., None]
        backdrop = np.median(portrait[:300, 420:], axis=(0, 1))
        shift = np.array([[1, 0, left], [0, 1, top]])
        over = cv2.warpAffine(alpha * (small - backdrop).astype(np.float32), shift, size)
        image: NDArray[np.uint8] = ((backdrop + over) * brightness - NOISE).clip(0, 255).astype(np.uint8)
        return image

    def _prepare_warp(self, left: float, top: float) -> None:
        """Compute how far each pixel follows the head: fully within the face, not at all from the shoulders down."""
        rows, columns = np.indices(self._base.shape[:2], np.float32)
        x, y = (columns - left) / self._scale, (rows - top) / self._scale  # in the portrait
        # The falloffs are wide enough that the largest swing never folds the image (1.5 * 66 / 135 < 1).
        sideways = _smoothstep((205 - abs(x - NECK[0])) / 135)
        follow = sideways * _smoothstep((y + 60) / 160) * _smoothstep((400 - y) / 110)
        inside = np.nonzero(follow)
        self._region = tuple(slice(int(i.min()), int(i.max()) + 1) for i in inside)
        self._columns, self._rows = columns[self._region], rows[self._region]
        self._follow = (follow * self._scale)[self._region]
        self._x_follow = ((x - NECK[0]) * follow * self._scale)[self._region]
        self._y_follow = ((y - NECK[1]) * follow * self._scale)[self._region]

    def _move_at(self, t: float) -> _Move:
        while self._moves[-1].segment.end_s <= t:
            self._moves.append(next(self._script))
        return self._moves[max(0, bisect_right(self._moves, t, key=lambda move: move.segment.start_s) - 1)]

    def _head_at(self, t: float) -> list[float]:
        """Return the head's displacement, in the units of SWING."""
        (label, start_s, end_s), hz, strength = self._move_at(t)
        ramp = np.sin(np.pi / 2 * np.clip(min(t - start_s, end_s - t) / RAMP_S, 0, 1)) ** 2
        swing = ramp * strength * np.sin(2 * np.pi * hz * (t - start_s))
        sway = SWAY * np.sin(2 * np.pi * (SWAY_HZ * t + self._phase)).sum(axis=0)
        return list(sway + swing * np.array(SWING[label]))

    def frame(self, t: float) -> NDArray[np.uint8]:
        """Return a new frame, uint8 (height, width, 3) BGR, `t` seconds after the first."""
        right, down, roll = map(np.float32, self._head_at(t))
        # The inverse motion, small angle: each pixel shows the point of the still image that moved there.
        map_x = self._columns - right * self._follow + roll * self._y_follow
        map_y = self._rows - down * self._follow - roll * self._x_follow
        head = cv2.remap(self._base, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        height, width = self._base.shape[:2]
        # Knuth's multiplicative hash: the top 12 bits choose one of 64 x 64 windows for each millisecond.
        row, column = divmod(int(t * 1000) * 2654435761 % 2**32 >> 20, NOISE_SLACK)
        noise = self._noise[row : row + height, column : column + width]
        image = cv2.add(self._base, noise)
        image[self._region] = cv2.add(head, noise[self._region])
        return np.asarray(image, np.uint8)
