"""Windows float32 (n, length, 1662) in; the same movements as other people might make and film them out.

Every function returns a copy, draws from the generator it is given, and leaves the zeros of an absent part zeros.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.keypoints.features import METRIC
from common.keypoints.landmarks import LEFT_SHOULDER, PARTS, RIGHT_SHOULDER, SHAPES, SIZE, SLICES, split
from common.keypoints.window import resample, seen_parts

Windows = NDArray[np.float32]

MAX_SHIFT: Final = 0.12  # of the picture
MAX_ZOOM: Final = 1.2
SHORTEST, LONGEST = 0.6, 1.3  # of a window's time, stretched to all of it
MAX_WARP: Final = 0.12  # of the window that its middle comes earlier or later
TILT: Final = 0.12  # radians the camera is tilted, standard deviation as in all that follow
STRETCH: Final = 0.1  # natural logarithm of a picture's width to its height
SHEAR: Final = 0.08
TURN: Final = 0.3  # radians a hand is turned about each axis
BUILD: Final = 0.15  # natural logarithm of a hand's length, width and depth
REACH: Final = 0.03  # of the picture's height that a hand is held elsewhere
NOISE: Final = 0.004  # of the picture
MAX_FLICKER: Final = 0.1  # share of frames in which a hand is missed
LOST, NEVER = 0.3, 0.05  # how often a hand is lost for a while, and altogether
SWITCH: Final = 0.15  # how often somebody goes on with the other hand

SHOULDERS: Final = [SLICES["pose"].start + point * SHAPES["pose"][1] for point in (LEFT_SHOULDER, RIGHT_SHOULDER)]  # x
ARMS: Final = (("left_hand", (13, 15)), ("right_hand", (14, 16)))  # with elbow and wrist of the pose


def _columns(axis: int) -> NDArray[np.intp]:
    """Where x (0) or y (1) of all landmarks stand in a vector."""
    return np.concatenate([np.arange(SIZE)[SLICES[part]][axis :: SHAPES[part][1]] for part in PARTS])


X, Y = (_columns(axis) for axis in range(2))
VISIBILITY: Final = slice(SLICES["pose"].start + 3, SLICES["pose"].stop, SHAPES["pose"][1])


def _opposites() -> NDArray[np.intp]:
    """For each number of a vector, the one that is in its place in a mirror."""
    pose = [0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9, *(point + (1 if point % 2 else -1) for point in range(11, 33))]
    # The face mesh counts its middle line and right side up to 247, then the left side in the same order.
    middle = [0, 1, 2, *range(4, 7), *range(8, 20), 94, 151, 152, 164, 168, 175, 195, 197, 199, 200]
    face = np.arange(468)
    right = np.setdiff1d(face[:248], middle)
    face[right], face[248:] = np.arange(248, 468), right
    points = {"pose": np.array(pose), "face": face, "left_hand": np.arange(21), "right_hand": np.arange(21)}
    sources = {"pose": "pose", "face": "face", "left_hand": "right_hand", "right_hand": "left_hand"}
    whole = np.arange(SIZE)
    return np.concatenate([whole[SLICES[sources[part]]].reshape(SHAPES[part])[points[part]].ravel() for part in PARTS])


OPPOSITES: Final = _opposites()


def mirror(windows: Windows) -> Windows:
    """As in a mirror: the left hand is the right one, and every landmark of pose and face its opposite."""
    mirrored = windows[..., OPPOSITES]
    mirrored[..., X] = 1 - mirrored[..., X]
    return _only(seen_parts(windows[..., OPPOSITES]), mirrored)


def move(windows: Windows, rng: np.random.Generator) -> Windows:
    """Each window moved and zoomed about the picture's middle by one random amount.

    A network that sees each person at one place only learns the place.
    """
    moved = windows.copy()
    shift = rng.uniform(-MAX_SHIFT, MAX_SHIFT, (2, len(windows), 1, 1)).astype(np.float32)
    zoom = np.exp(rng.uniform(-1, 1, (len(windows), 1, 1)) * np.log(MAX_ZOOM)).astype(np.float32)
    for points in split(moved).values():  # views
        points[..., 0] = (points[..., 0] - 0.5) * zoom + 0.5 + shift[0]
        points[..., 1] = (points[..., 1] - 0.5) * zoom + 0.5 + shift[1]
        points[..., 2] *= zoom
    return _only(seen_parts(windows), moved)


def pace(windows: Windows, rng: np.random.Generator) -> Windows:
    """Each window slower, faster, cut at its ends, and uneven in time."""
    n, length, _ = windows.shape
    span = rng.uniform(SHORTEST, LONGEST, n) * (length - 1)
    start = rng.uniform(0, 1, n) * (length - 1 - span)
    even = np.linspace(0, 1, length)
    uneven = even + rng.uniform(-MAX_WARP, MAX_WARP, (n, 1)) * np.sin(np.pi * even)
    wanted = np.clip(start[:, None] + span[:, None] * uneven, 0, length - 1)
    return np.stack([resample(*each) for each in zip(windows, [np.arange(length)] * n, wanted, strict=True)])


def switch_hands(windows: Windows, rng: np.random.Generator) -> Windows:
    """Some windows go on with the other hand from a random frame: mirrored there about the person's own middle."""
    n, length, _ = windows.shape
    start = np.where(rng.random(n) < SWITCH, rng.integers(0, length + 1, n), length)
    mirrored = mirror(windows)
    seen = seen_parts(mirrored)
    mirrored[..., X] += 2 * windows[..., SHOULDERS].mean(axis=-1, keepdims=True) - 1
    later = (np.arange(length) >= start[:, None])[..., None]
    return np.where(later, _only(seen, mirrored), windows)


def tilt(windows: Windows, rng: np.random.Generator) -> Windows:
    """Each window filmed by a camera that is tilted, and by one with wider or narrower pictures."""
    n = len(windows)
    spread = np.array([TILT, STRETCH, SHEAR], np.float32)[:, None, None, None]
    angle, stretch, shear = rng.standard_normal((3, n, 1, 1), np.float32) * spread
    tilted = windows.copy()
    for points in split(tilted).values():  # views
        x, y = (points[..., 0] - 0.5) * METRIC[0] * np.exp(stretch), points[..., 1] - 0.5
        points[..., 0] = (np.cos(angle) * x + (shear - np.sin(angle)) * y) / METRIC[0] + 0.5
        points[..., 1] = np.sin(angle) * x + np.cos(angle) * y + 0.5
    return _only(seen_parts(windows), tilted)


def reshape_hands(windows: Windows, rng: np.random.Generator) -> Windows:
    """Hands of another build, turned and held a little differently; elbow and wrist of the pose go with them."""
    n, length, _ = windows.shape
    reshaped = windows.copy()
    pose = reshaped[..., SLICES["pose"]].reshape(n, length, *SHAPES["pose"])
    for part, (elbow, wrist) in ARMS:
        hand = windows[..., SLICES[part]].reshape(n, length, *SHAPES[part]) * METRIC
        build = np.exp(rng.normal(0, BUILD, (n, 1, 1, 3)))
        turned = ((hand - hand[:, :, :1]) * build) @ _turns(n, rng)[:, None] + hand[:, :, :1]
        reach = rng.normal(0, REACH, (n, 1, 1, 3)) * np.array([1, 1, 0])
        reshaped[..., SLICES[part]] = ((turned + reach) / METRIC).reshape(n, length, -1)
        pose[..., wrist, :3] += reach[:, :, 0] / METRIC
        pose[..., elbow, :3] += reach[:, :, 0] / METRIC / 2
    reshaped[..., SLICES["pose"]] = pose.reshape(n, length, -1)
    return _only(seen_parts(windows), reshaped)


def _turns(n: int, rng: np.random.Generator) -> NDArray[np.floating]:
    """Rotations (n, 3, 3) about x, then y, then z."""
    turns = np.broadcast_to(np.eye(3), (n, 3, 3))
    for angle, (one, other) in zip(rng.normal(0, TURN, (3, n)), ((1, 2), (0, 2), (0, 1)), strict=True):
        turn = np.tile(np.eye(3), (n, 1, 1))
        turn[:, one, one] = turn[:, other, other] = np.cos(angle)
        turn[:, one, other] = np.sin(angle)
        turn[:, other, one] = -np.sin(angle)
        turns = turns @ turn
    return turns


def shake(windows: Windows, rng: np.random.Generator) -> Windows:
    """Each number off by what the extraction may be off; the pose's visibility stays."""
    noise = rng.standard_normal(windows.shape, np.float32) * np.float32(NOISE)
    noise[..., VISIBILITY] = 0
    return _only(seen_parts(windows), windows + noise)


def miss_hands(windows: Windows, rng: np.random.Generator) -> Windows:
    """Hands missed in single frames, for a while, or altogether, as the extraction misses them."""
    n, length, _ = windows.shape
    seen = seen_parts(windows)
    for part, _ in ARMS:
        flicker = rng.random((n, length)) < rng.uniform(0, MAX_FLICKER, (n, 1))
        start, end = np.sort(rng.integers(0, length + 1, (2, n, 1)), axis=0)
        lost = (np.arange(length) >= start) & (np.arange(length) < end) & (rng.random((n, 1)) < LOST)
        never = rng.random((n, 1)) < NEVER
        seen[..., PARTS.index(part)] &= ~(flicker | lost | never)
    return _only(seen, windows.copy())


def perform(windows: Windows, rng: np.random.Generator) -> Windows:
    """The movements as others might make them."""
    return pace(switch_hands(windows, rng), rng)


def film(windows: Windows, rng: np.random.Generator) -> Windows:
    """The persons as others are built, filmed with other cameras, and found by the extraction.

    The mirror is not among the changes: `body` features look through it. docs/ablations.md says what each is worth.
    """
    for change in (reshape_hands, tilt, move, shake, miss_hands):
        windows = change(windows, rng)
    return windows


def _only(seen: NDArray[np.bool_], windows: Windows) -> Windows:
    """The windows, whose parts are zeros but where `seen` (n, length, 4); changed in place."""
    for place, part in enumerate(PARTS):
        windows[..., SLICES[part]][~seen[..., place]] = 0
    return windows
