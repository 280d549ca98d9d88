"""Compute the input features of a model from windows of landmarks, by the same code live and in training.

`raw` features are the landmarks of the chosen parts unchanged, concatenated in the order in which the parts are named.
`body` features are invariant to the person's position and size in the frame and to the preferred hand:

* x and y are relative to the middle of the shoulders, in shoulder widths, both averaged over the window;
* a hand's shape is relative to its wrist, in palm lengths, with the left hand mirrored onto the right one; finger joint
  cosines and fingertip distances add the same information independently of the hand's rotation;
* where the left hand is raised higher, the window is mirrored, so that the right hand is always the active one;
* joint_angles, for movements of the whole body, are the cosines at its joints, whichever way the person faces;
* a part that is missing in some frames is interpolated in time; a part that is missing in all frames is zeros.
"""

from typing import Annotated, Final, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from common.keypoints.landmarks import SHAPES, SIZE, SLICES, VECTOR_SIZES

Part = Literal[
    "pose", "face", "hands", "joint_angles", "left_hand", "right_hand"
]  # hands: the left one, then the right
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

METRIC: Final = np.array([4 / 3, 1, 4 / 3], np.float32)  # x and z are in frame widths; frames are mostly 640 x 480
MIRROR: Final = np.array([-1, 1], np.float32)
CLIP: Final = np.float32(5)  # shoulder widths or palm lengths: larger values are extraction errors
LOWEST: Final = 1.7  # shoulder widths below the mouth; positions of lower hands are mostly guessed
DETECTED: Final = 0.5  # a detected hand counts as much as one held half a shoulder width higher
EPS: Final = np.float32(1e-4)  # lower limit of divisors

# Nose, shoulders, elbows, wrists, corners of the mouth; the landmarks of hands and face are better for the rest.
_POSE: Final = (0, 11, 12, 13, 14, 15, 16, 9, 10)
_NOSE, _SHOULDERS, _ARMS, _WRISTS, _MOUTH = 0, [1, 2], slice(0, 7), [5, 6], [7, 8]
_POSE_MIRROR: Final = [0, 2, 1, 4, 3, 6, 5, 8, 7]
# The middle of the lips, the corners of the mouth, and the outer end and middle of each brow.
_FACE: Final = (13, 14, 61, 291, 70, 105, 300, 334)
_FACE_MIRROR: Final = [0, 1, 3, 2, 6, 7, 4, 5]

# Elbow, shoulder, hip, knee, the whole body and the neck, each between two other landmarks, on the left side; the
# numbers of the right side are one higher.
_BENT: Final = np.array([(11, 13, 15), (13, 11, 23), (11, 23, 25), (23, 25, 27), (11, 23, 27), (7, 11, 23)])

_KNUCKLES: Final = [5, 9, 17]  # of index, middle and little finger
_TIPS: Final = [0, 4, 8, 12, 16, 20]  # with the wrist
_BONES: Final = np.array([(0 if link % 4 == 0 else link, link + 1) for link in range(20)])
_JOINTS: Final = np.array(
    [link for link in range(20) if link % 4 != 3]
)  # between a bone and the next one of its finger
_SPANS: Final = np.array(
    [(4, 0), (8, 0), (12, 0), (16, 0), (20, 0), (4, 8), (8, 12), (12, 16), (16, 20), (4, 20), (4, 12), (4, 5), (4, 17)]
)


class Features(msgspec.Struct, frozen=True, kw_only=True):
    """The features of a model; its card holds them."""

    kind: Literal["raw", "body"]
    parts: Annotated[tuple[Part, ...], Meta(min_length=1)] = ("pose", "hands")

    def __post_init__(self) -> None:
        if self.kind == "raw" and "joint_angles" in self.parts:
            raise ValueError("raw features have no joint angles: only body features have")
        if self.kind == "body" and {"left_hand", "right_hand"} & set(self.parts):
            raise ValueError("body features have both hands, named hands")

    @property
    def whole_body(self) -> bool:
        """Whether they use neither face nor hands, so that the person may be far from the camera."""
        return set(self.parts) <= {"pose", "joint_angles"}


HOLDS: Final[dict[Part, tuple[str, ...]]] = {"hands": ("left_hand", "right_hand")}
RAW: Final = Features(kind="raw", parts=("pose", "face", "hands"))  # all 1662 numbers, unchanged
BODY: Final = Features(kind="body")


def raw_of(numbers: int) -> Features:
    """Return the raw features of vectors of another project, by their size, one of VECTOR_SIZES."""
    held = {part.split("_")[-1].replace("hand", "hands") for part in VECTOR_SIZES[numbers]}
    return Features(kind="raw", parts=tuple(part for part in RAW.parts if part in held))


def features(vectors: Floats, options: Features) -> Floats:
    """Compute features of windows, each window independently of the others.

    Args:
        vectors: landmarks, float32 (n, T, 1662).
        options: which features.

    Returns:
        Features, float32 (n, T, F), all finite.
    """
    if vectors.ndim != 3 or vectors.shape[-1] != SIZE:
        raise ValueError(f"features need windows (n, T, {SIZE}), not {vectors.shape}")
    return _raw(vectors, options.parts) if options.kind == "raw" else _body(vectors, options.parts)


def size(options: Features) -> int:
    """Return F, the number of features per frame."""
    return features(np.zeros((1, 1, SIZE), np.float32), options).shape[-1]


def _raw(vectors: Floats, parts: tuple[Part, ...]) -> Floats:
    if parts == RAW.parts:
        return vectors
    return np.concatenate([vectors[..., SLICES[one]] for part in parts for one in HOLDS.get(part, (part,))], axis=-1)


def _body(vectors: Floats, parts: tuple[Part, ...]) -> Floats:
    pose, face, hands = _landmarks(vectors)
    person, in_view = pose.any((2, 3)), hands.any((3, 4))  # (n, T) and (n, T, 2)
    nobody = ~person.any(axis=1)
    origin, unit = _body_frame(pose, person)
    pose = _interpolate_missing((pose - origin) / unit, person)
    mouth, wrists = pose[:, :, _MOUTH].mean(axis=2)[:, :, None], pose[:, :, _WRISTS, None]
    tips = (hands[..., _TIPS, :2] - origin[:, :, None]) / unit[:, :, None] - wrists
    tips = wrists + _interpolate_missing(tips, in_view & ~nobody[:, None, None]) - mouth[:, :, None]
    face = _interpolate_missing((face - origin) / unit - mouth, face.any((2, 3)) & ~nobody[:, None])
    shape = _interpolate_missing(_shape(hands), in_view)

    left_acts = _left_hand_raised(tips, in_view)
    for pair in (tips, shape, in_view):
        pair[left_acts] = pair[left_acts][:, :, ::-1]
    tips[left_acts] *= MIRROR
    pose[left_acts] = pose[left_acts][:, :, _POSE_MIRROR] * MIRROR
    face[left_acts] = face[left_acts][:, :, _FACE_MIRROR] * MIRROR

    of_part: dict[Part, tuple[NDArray, ...]] = {
        "pose": (pose[:, :, _ARMS], person),
        "face": (face,),
        "hands": (tips, tips[:, :, 1] - tips[:, :, 0], shape, in_view),
        "joint_angles": (_interpolate_missing(_joint_angles(vectors), person),) if "joint_angles" in parts else (),
    }
    n, frames = person.shape
    chosen = [values.reshape(n, frames, -1) for part in parts for values in of_part[part]]
    return np.clip(np.concatenate(chosen, axis=-1, dtype=np.float32), -CLIP, CLIP)


def _landmarks(vectors: Floats) -> tuple[Floats, Floats, Floats]:
    """Return pose (n, T, 9, 2), face (n, T, 8, 2) and hands (n, T, 2, 21, 3), in frame heights."""
    n, frames = vectors.shape[:2]
    metric = vectors[..., _COLUMNS].reshape(n, frames, -1, 3) * METRIC
    pose, face, hands = np.split(metric, [len(_POSE), len(_POSE) + len(_FACE)], axis=2)
    return pose[..., :2], face[..., :2], hands.reshape(n, frames, 2, -1, 3)


def _body_frame(pose: Floats, person: Mask) -> tuple[Floats, Floats]:
    """Return the origin (n, 1, 1, 2), midway between the shoulders, and the unit of length (n, 1, 1, 1) of each window.

    The unit is the shoulder width, or the distance of the nose from there if larger, as of a person seen from the side.
    """
    middle = pose[:, :, _SHOULDERS].mean(axis=2)
    width = _length(pose[:, :, _SHOULDERS[0]] - pose[:, :, _SHOULDERS[1]])
    length = np.maximum(width, _length(pose[:, :, _NOSE] - middle))[..., None]
    weight = person[..., None] / np.maximum(person.sum(axis=1), 1)[:, None, None].astype(np.float32)
    origin, unit = ((values * weight).sum(axis=1)[:, None, None] for values in (middle, length))
    return origin, np.maximum(unit, EPS)


def _interpolate_missing(values: Floats, detected: Mask) -> Floats:
    """Interpolate values (n, T, ...) in time where they were not detected; zeros if they never were.

    `detected` is (n, T) or (n, T, 2). Before the first and after the last detection its value is repeated.
    """
    frames = detected.shape[1]
    time = np.arange(frames).reshape(-1, *[1] * (detected.ndim - 2))
    before = np.maximum.accumulate(np.where(detected, time, -1), axis=1)
    after = np.minimum.accumulate(np.where(detected, time, frames)[:, ::-1], axis=1)[:, ::-1]
    values = np.where(_expand_like(detected, values), values, np.float32(0))
    window, at, *part = gaps = np.nonzero(~detected)
    first, last = before[gaps], after[gaps]
    first, last = np.where(first < 0, last, first), np.where(last == frames, first, last)
    weight = ((at - first) / np.maximum(last - first, 1)).astype(np.float32)
    first, last = (np.clip(frame, 0, frames - 1) for frame in (first, last))  # zeros are there if never detected
    start, end = values[(window, first, *part)], values[(window, last, *part)]
    values[gaps] = start + (end - start) * _expand_like(weight, start)
    return values


def _expand_like(array: NDArray, like: NDArray) -> NDArray:
    """Append dimensions of size 1 until `array` has as many as `like`."""
    return array.reshape(*array.shape, *[1] * (like.ndim - array.ndim))


def _shape(hands: Floats) -> Floats:
    """Describe shape and orientation of hands (n, T, 2, 21, 3) as (n, T, 2, 34), the left hand mirrored."""
    shape = hands - hands[..., :1, :]
    shape[:, :, 0, :, 0] *= -1
    shape /= np.maximum(_length(shape[..., _KNUCKLES, :]).mean(axis=-1), EPS)[..., None, None]
    bones = shape[..., _BONES[:, 1], :] - shape[..., _BONES[:, 0], :]
    bones /= np.maximum(_length(bones), EPS)[..., None]
    bends = (bones[..., _JOINTS, :] * bones[..., _JOINTS + 1, :]).sum(axis=-1)
    spans = _length(shape[..., _SPANS[:, 0], :] - shape[..., _SPANS[:, 1], :]) / 2
    index, middle, little = (shape[..., knuckle, :] for knuckle in _KNUCKLES)
    normal = index[..., [1, 2, 0]] * little[..., [2, 0, 1]] - index[..., [2, 0, 1]] * little[..., [1, 2, 0]]
    return np.concatenate([bends, spans, middle, normal], axis=-1)


def _joint_angles(vectors: Floats) -> Floats:
    """Return the cosines at _BENT, (n, T, 12): the six of the straighter side of each, then of the other side."""
    pose = vectors[..., SLICES["pose"]].reshape(*vectors.shape[:2], *SHAPES["pose"])[..., :2] * METRIC[:2]
    one, at, other = (pose[:, :, np.stack([_BENT[:, place], _BENT[:, place] + 1])] for place in range(3))
    one, other = ((end - at) / np.maximum(_length(end - at), EPS)[..., None] for end in (one, other))
    cosines = (one * other).sum(axis=-1)  # (n, T, 2 sides, 6)
    return np.concatenate([cosines.min(axis=2), cosines.max(axis=2)], axis=-1)


def _left_hand_raised(tips: Floats, in_view: Mask) -> Mask:
    """Return in which windows (n,) the left hand is raised higher than the right one."""
    height = -np.minimum(tips[..., 0, 1], LOWEST) + DETECTED * in_view
    left, right = height.mean(axis=1).T
    return left > right


def _length(vectors: Floats) -> Floats:
    return np.sqrt((vectors * vectors).sum(axis=-1))


_COLUMNS: Final = np.concatenate(
    [
        SLICES[part].start + SHAPES[part][1] * np.array(points)[:, None] + np.arange(3)
        for part, points in (("pose", _POSE), ("face", _FACE), ("left_hand", range(21)), ("right_hand", range(21)))
    ]
).ravel()
