"""Read and write .pose files by label, with the pose-format library and its components of Holistic.

    <label>/<file>.pose
    sequences.jsonl         the metadata: subject, stream, capture times, and the exact rate

In a .pose file x and y are pixels of a frame whose size is in the header, z is as here, and every point has a
confidence: the visibility in the pose; 1 or 0 in face and hands. Sequences do not state the size of their frames, so
files are written for 1024 x 1024: multiplying by a power of two is exact. Of other people's files the points known
here are read, by their names: all 468 of the face, or only its contours; not the pose in metres, nor a second person.
"""

import logging
import math
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pose_format import Pose
from pose_format.numpy import NumPyPoseBody
from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

from common.errors import UserError
from common.keypoints.landmarks import CONNECTIONS, SHAPES, SIZE, split
from common.recording.sequence import KeypointSequence
from data.formats.shared import (
    build_sequence,
    default_metadata,
    label_of,
    metadata_of,
    numbered,
    read_metadata,
    write_metadata,
)

VERSION: Final = 0.2
SIDE_PX: Final = 1024

_FINGERS: Final = ("INDEX_FINGER", "MIDDLE_FINGER", "RING_FINGER", "PINKY")
_HAND: Final = (
    "WRIST", "THUMB_CMC", "THUMB_MCP", "THUMB_IP", "THUMB_TIP",
    *(f"{finger}_{joint}" for finger in _FINGERS for joint in ("MCP", "PIP", "DIP", "TIP")),
)  # fmt: skip
# MediaPipe's names of the points; a test compares them with MediaPipe's own.
POINTS: Final[dict[str, tuple[str, ...]]] = {
    "pose": (
        "NOSE", "LEFT_EYE_INNER", "LEFT_EYE", "LEFT_EYE_OUTER", "RIGHT_EYE_INNER", "RIGHT_EYE", "RIGHT_EYE_OUTER",
        "LEFT_EAR", "RIGHT_EAR", "MOUTH_LEFT", "MOUTH_RIGHT",
        *(f"{side}_{joint}"
          for joint in ("SHOULDER", "ELBOW", "WRIST", "PINKY", "INDEX", "THUMB",
                        "HIP", "KNEE", "ANKLE", "HEEL", "FOOT_INDEX")
          for side in ("LEFT", "RIGHT")),
    ),
    "face": tuple(map(str, range(468))),
    "left_hand": _HAND,
    "right_hand": _HAND,
}  # fmt: skip
COMPONENTS: Final = {f"{part.upper()}_LANDMARKS": part for part in SHAPES}

log = logging.getLogger(__name__)


def read(root: Path, files: Iterable[Path], fps: float) -> Iterator[KeypointSequence]:
    """Read every sequence in the files, and log which points are ignored or missing.

    Raises UserError naming the file that is wrong. fps: the rate of files that state none.
    """
    known, lacks = read_metadata(root), set[str]()
    for path in files:
        pose, label = _load(path), label_of(root, path)
        metadata = known.get(path.relative_to(root).as_posix())
        keypoints = _keypoints(path, pose, lacks, ours=metadata is not None)
        rate = pose.body.fps if 0 < pose.body.fps < math.inf else fps
        yield build_sequence(path, label, keypoints, metadata or default_metadata(range(len(keypoints)), rate))
    if lacks:
        log.warning("%s: %s.", root, "; ".join(sorted(lacks)))


def write(folder: Path, sequences: Iterable[KeypointSequence]) -> None:
    """Write a file per sequence into a new folder; raises OSError, and UserError for an invalid label."""
    metadata = {}
    for name, sequence in numbered(sequences):
        path = folder / f"{name}.pose"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            _pose(sequence).write(file)
        metadata[f"{name}.pose"] = metadata_of(sequence)
    write_metadata(folder, metadata)


def _load(path: Path) -> Pose:
    try:
        return Pose.read(path.read_bytes())
    # What the library raises where a file ends early or is damaged.
    except (OSError, ValueError, TypeError, LookupError, ArithmeticError, NotImplementedError, struct.error) as error:
        raise UserError(f"{path} is not a .pose file: {error}.") from error


def _keypoints(path: Path, pose: Pose, lacks: set[str], *, ours: bool) -> NDArray[np.float32]:
    """Keypoints (frames, 1662) of the first person; adds what is ignored or missing to `lacks`."""
    size, (frames, people, *_) = pose.header.dimensions, pose.body.data.shape
    if not (size.width and size.height and people):
        raise UserError(f"{path} holds nobody, or does not state the size of its frames.")
    points = pose.body.data.data[:, 0, :, :3]
    points = points / np.array([size.width, size.height, 1], np.float32)[: points.shape[-1]]
    confidence = pose.body.confidence[:, 0]
    if not ours:  # in ours undetected parts are zeros already, and detected points may have a confidence of 0
        points[confidence == 0] = 0
    if people > 1:
        lacks.add("of several people only the first is read")
    vectors, first = np.zeros((frames, SIZE), np.float32), 0
    for component in pose.header.components:
        span = slice(first, first := first + len(component.points))
        part = COMPONENTS.get(component.name)
        if part is None:
            lacks.add(f"{component.name} is ignored")
            continue
        found = _place(part, split(vectors)[part], component.points, points[:, span], confidence[:, span])
        if found < len(POINTS[part]):
            lacks.add(f"{component.name} has {found} of {len(POINTS[part])} points, the others are zeros")
    if not COMPONENTS.keys() & {component.name for component in pose.header.components}:
        raise UserError(f"{path} holds no landmarks of MediaPipe Holistic.")
    return vectors


def _place(
    part: str, target: NDArray[np.float32], names: list[str], points: NDArray[np.float32], confidence: NDArray
) -> int:
    """Copy points (frames, names, 2 or 3) by name into target (frames, points, 3 or 4); returns how many."""
    positions = {name: position for position, name in enumerate(POINTS[part])}
    source = [index for index, name in enumerate(names) if name in positions]
    known = [positions[names[index]] for index in source]
    target[:, known, : points.shape[-1]] = points[:, source]
    if part == "pose":
        target[:, known, 3] = confidence[:, source]
    return len(known)


def _pose(sequence: KeypointSequence) -> Pose:
    scale = np.array([SIDE_PX, SIDE_PX, 1], np.float32)
    data, confidence = [], []
    for part, points in split(sequence.keypoints).items():
        seen = np.broadcast_to(points.any(axis=(1, 2))[:, None], points.shape[:2])
        with np.errstate(over="ignore"):  # reading back refuses infinite numbers
            data.append(points[..., :3] * scale)
        confidence.append(points[..., 3] if part == "pose" else seen.astype(np.float32))
    components = [
        PoseHeaderComponent(name, list(POINTS[part]), CONNECTIONS[part].tolist(), [(255, 0, 0)], "XYZC")
        for name, part in COMPONENTS.items()
    ]
    # One person: (frames, 1, points, 3) and (frames, 1, points).
    body = NumPyPoseBody(sequence.fps, np.concatenate(data, 1)[:, None], np.concatenate(confidence, 1)[:, None])
    return Pose(PoseHeader(VERSION, PoseHeaderDimensions(SIDE_PX, SIDE_PX), components), body)
