"""Augment windows of keypoints, float32 (n, length, 1662).

Every function returns a copy, draws from the generator it is given, and keeps the zeros of an absent part.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.keypoints.features import METRIC
from common.keypoints.landmarks import LEFT_SHOULDER, PARTS, RIGHT_SHOULDER, SHAPES, SIZE, SLICES, split
from common.keypoints.window import parts_detected, resample

Windows = NDArray[np.float32]

MAX_SHIFT: Final = 0.12  # of the frame
MAX_ZOOM: Final = 1.2
MIN_SPAN, MAX_SPAN = 0.6, 1.3  # of a window's time, stretched to the whole window
MAX_WARP: Final = 0.12  # of the window, by which its middle comes earlier or later
ROTATION: Final = 0.12  # of the camera, radians; this and those below up to JITTER are standard deviations
ASPECT: Final = 0.1  # natural logarithm of a frame's width to its height
SHEAR: Final = 0.08
HAND_ROTATION: Final = 0.3  # radians about each axis
HAND_SCALE: Final = 0.15  # natural logarithm of a hand's length, width and depth
HAND_SHIFT: Final = 0.03  # of the frame's height
JITTER: Final = 0.004  # of the frame
MAX_MISSED: Final = 0.1  # ratio of single frames in which a hand is missed
GAP_RATE, ABSENT_RATE = 0.3, 0.05  # of windows in which a hand is lost for a while, and altogether
SWITCH_RATE: Final = 0.15  # of windows that continue with the other hand

SHOULDERS: Final = [SLICES["pose"].start + point * SHAPES["pose"][1] for point in (LEFT_SHOULDER, RIGHT_SHOULDER)]  # x
ARMS: Final = (("left_hand", (13, 15)), ("right_hand", (14, 16)))  # with elbow and wrist of the pose


def _columns(axis: int) -> NDArray[np.intp]:
    """Return the indices of x (0) or y (1) of all landmarks in a vector."""
    return np.concatenate([np.arange(SIZE)[SLICES[part]][axis :: SHAPES[part][1]] for part in PARTS])


X, Y = (_columns(axis) for axis in range(2))
VISIBILITY: Final = slice(SLICES["pose"].start + 3, SLICES["pose"].stop, SHAPES["pose"][1])


def _mirror_index() -> NDArray[np.intp]:
    """Return for each number of a vector the index of its mirror image."""
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


MIRROR_INDEX: Final = _mirror_index()


def mirror(windows: Windows) -> Windows:
    """Mirror windows: swap the hands, and every landmark of pose and face with its opposite."""
    mirrored = windows[..., MIRROR_INDEX]
    mirrored[..., X] = 1 - mirrored[..., X]
    return _mask_absent(parts_detected(windows[..., MIRROR_INDEX]), mirrored)


def shift_zoom(windows: Windows, rng: np.random.Generator) -> Windows:
    """Shift each window, and zoom it about the middle of the frame.

    Without it a network learns where each person of the training set stood.
    """
    shifted = windows.copy()
    shift = rng.uniform(-MAX_SHIFT, MAX_SHIFT, (2, len(windows), 1, 1)).astype(np.float32)
    zoom = np.exp(rng.uniform(-1, 1, (len(windows), 1, 1)) * np.log(MAX_ZOOM)).astype(np.float32)
    for points in split(shifted).values():  # views
        points[..., 0] = (points[..., 0] - 0.5) * zoom + 0.5 + shift[0]
        points[..., 1] = (points[..., 1] - 0.5) * zoom + 0.5 + shift[1]
        points[..., 2] *= zoom
    return _mask_absent(parts_detected(windows), shifted)


def time_warp(windows: Windows, rng: np.random.Generator) -> Windows:
    """Slow down, speed up, crop and warp each window in time."""
    n, length, _ = windows.shape
    span = rng.uniform(MIN_SPAN, MAX_SPAN, n) * (length - 1)
    start = rng.uniform(0, 1, n) * (length - 1 - span)
    even = np.linspace(0, 1, length)
    uneven = even + rng.uniform(-MAX_WARP, MAX_WARP, (n, 1)) * np.sin(np.pi * even)
    wanted = np.clip(start[:, None] + span[:, None] * uneven, 0, length - 1)
    return np.stack([resample(*each) for each in zip(windows, [np.arange(length)] * n, wanted, strict=True)])


def switch_hands(windows: Windows, rng: np.random.Generator) -> Windows:
    """Continue some windows with the other hand: mirrored about the person's own middle from a random frame on."""
    n, length, _ = windows.shape
    start = np.where(rng.random(n) < SWITCH_RATE, rng.integers(0, length + 1, n), length)
    mirrored = mirror(windows)
    seen = parts_detected(mirrored)
    mirrored[..., X] += 2 * windows[..., SHOULDERS].mean(axis=-1, keepdims=True) - 1
    later = (np.arange(length) >= start[:, None])[..., None]
    return np.where(later, _mask_absent(seen, mirrored), windows)


def camera_affine(windows: Windows, rng: np.random.Generator) -> Windows:
    """Rotate, stretch and shear each window, as a tilted camera or one of another aspect ratio shows it."""
    n = len(windows)
    spread = np.array([ROTATION, ASPECT, SHEAR], np.float32)[:, None, None, None]
    angle, stretch, shear = rng.standard_normal((3, n, 1, 1), np.float32) * spread
    transformed = windows.copy()
    for points in split(transformed).values():  # views
        x, y = (points[..., 0] - 0.5) * METRIC[0] * np.exp(stretch), points[..., 1] - 0.5
        points[..., 0] = (np.cos(angle) * x + (shear - np.sin(angle)) * y) / METRIC[0] + 0.5
        points[..., 1] = np.sin(angle) * x + np.cos(angle) * y + 0.5
    return _mask_absent(parts_detected(windows), transformed)


def reshape_hands(windows: Windows, rng: np.random.Generator) -> Windows:
    """Scale, rotate and shift hands; elbow and wrist of the pose follow."""
    n, length, _ = windows.shape
    reshaped = windows.copy()
    pose = reshaped[..., SLICES["pose"]].reshape(n, length, *SHAPES["pose"])
    for part, (elbow, wrist) in ARMS:
        hand = windows[..., SLICES[part]].reshape(n, length, *SHAPES[part]) * METRIC
        scale = np.exp(rng.normal(0, HAND_SCALE, (n, 1, 1, 3)))
        rotated = ((hand - hand[:, :, :1]) * scale) @ _rotations(n, rng)[:, None] + hand[:, :, :1]
        shift = rng.normal(0, HAND_SHIFT, (n, 1, 1, 3)) * np.array([1, 1, 0])
        reshaped[..., SLICES[part]] = ((rotated + shift) / METRIC).reshape(n, length, -1)
        pose[..., wrist, :3] += shift[:, :, 0] / METRIC
        pose[..., elbow, :3] += shift[:, :, 0] / METRIC / 2
    reshaped[..., SLICES["pose"]] = pose.reshape(n, length, -1)
    return _mask_absent(parts_detected(windows), reshaped)


def _rotations(n: int, rng: np.random.Generator) -> NDArray[np.floating]:
    """Return random rotations (n, 3, 3), about x, then y, then z."""
    rotations = np.broadcast_to(np.eye(3), (n, 3, 3))
    for angle, (one, other) in zip(rng.normal(0, HAND_ROTATION, (3, n)), ((1, 2), (0, 2), (0, 1)), strict=True):
        rotation = np.tile(np.eye(3), (n, 1, 1))
        rotation[:, one, one] = rotation[:, other, other] = np.cos(angle)
        rotation[:, one, other] = np.sin(angle)
        rotation[:, other, one] = -np.sin(angle)
        rotations = rotations @ rotation
    return rotations


def jitter(windows: Windows, rng: np.random.Generator) -> Windows:
    """Add the noise of keypoint extraction to each coordinate; the pose's visibility stays."""
    noise = rng.standard_normal(windows.shape, np.float32) * np.float32(JITTER)
    noise[..., VISIBILITY] = 0
    return _mask_absent(parts_detected(windows), windows + noise)


def hand_dropout(windows: Windows, rng: np.random.Generator) -> Windows:
    """Drop hands in single frames, for a while, or altogether, as keypoint extraction does."""
    n, length, _ = windows.shape
    seen = parts_detected(windows)
    for part, _ in ARMS:
        flicker = rng.random((n, length)) < rng.uniform(0, MAX_MISSED, (n, 1))
        start, end = np.sort(rng.integers(0, length + 1, (2, n, 1)), axis=0)
        lost = (np.arange(length) >= start) & (np.arange(length) < end) & (rng.random((n, 1)) < GAP_RATE)
        never = rng.random((n, 1)) < ABSENT_RATE
        seen[..., PARTS.index(part)] &= ~(flicker | lost | never)
    return _mask_absent(seen, windows.copy())


def augment_motion(windows: Windows, rng: np.random.Generator) -> Windows:
    """Augment how a movement is made."""
    return time_warp(switch_hands(windows, rng), rng)


def augment_camera(windows: Windows, rng: np.random.Generator) -> Windows:
    """Augment the person, the camera and the extraction.

    `mirror` is not applied: `body` features are invariant to it. docs/ablations.md lists what each of the others gains.
    """
    for transform in (reshape_hands, camera_affine, shift_zoom, jitter, hand_dropout):
        windows = transform(windows, rng)
    return windows


def _mask_absent(seen: NDArray[np.bool_], windows: Windows) -> Windows:
    """Set parts to zeros in place, except where `seen`, bool (n, length, 4)."""
    for place, part in enumerate(PARTS):
        windows[..., SLICES[part]][~seen[..., place]] = 0
    return windows
