"""Pictures in, 1662 landmark numbers out: the only file that imports MediaPipe."""

import os
import sys
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from common import landmarks

os.environ.setdefault("GLOG_minloglevel", "2")  # MediaPipe's start-up chatter
# MediaPipe imports tensorflow if it is there, for nothing we use: 13 s instead of 3, and 600 MB of memory.
_tensorflow = sys.modules.setdefault("tensorflow", None)  # type: ignore[arg-type]
from mediapipe.python.solution_base import SolutionBase  # noqa: E402

if _tensorflow is None:
    del sys.modules["tensorflow"]

_GRAPH = "mediapipe/modules/holistic_landmark/holistic_landmark_cpu.binarypb"
_OUTPUTS = {part: f"{part}_landmarks" for part in landmarks.PARTS}
_ROI = "pose_landmarks_roi"


class Result(NamedTuple):
    """The landmarks of one picture."""

    vector: NDArray[np.float32]  # (1662,)
    seen: tuple[str, ...]
    pose_scale_px: float  # size of the person in the picture's pixels, 0 if there is none


class Holistic:
    """MediaPipe Holistic on one stream of pictures; it tracks, so feed it one stream only, in order.

    Only model_complexity 1 is inside the wheel; 0 and 2 would be downloaded. The pose is not smoothed here:
    smoothing keeps state between frames, and another extractor may have got the frame before.
    """

    def __init__(self, min_detection_confidence: float = 0.5, min_tracking_confidence: float = 0.5) -> None:
        pose = "poselandmarkcpu__"
        self._graph: Any = SolutionBase(
            binary_graph_path=_GRAPH,
            side_inputs={
                "model_complexity": 1,
                "smooth_landmarks": False,
                "enable_segmentation": False,
                "smooth_segmentation": False,
                "refine_face_landmarks": False,
                "use_prev_landmarks": True,
            },
            calculator_params={
                f"{pose}posedetectioncpu__TensorsToDetectionsCalculator.min_score_thresh": min_detection_confidence,
                f"{pose}poselandmarkbyroicpu__tensorstoposelandmarksandsegmentation__ThresholdingCalculator.threshold": min_tracking_confidence,  # noqa: E501
            },
            outputs=[*_OUTPUTS.values(), _ROI],
        )

    def __call__(self, picture: NDArray[np.uint8]) -> Result:
        """The landmarks of a BGR uint8 (height, width, 3)."""
        found = self._graph.process({"image": cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)})
        parts = {}
        for part, output in _OUTPUTS.items():
            if (points := getattr(found, output)) is not None:
                parts[part] = _array(points, part)
        roi = getattr(found, _ROI)
        scale = _person_px(roi, *picture.shape[:2]) if roi is not None else 0.0
        return Result(landmarks.flatten(parts), tuple(parts), scale)

    def close(self) -> None:
        self._graph.close()


def _array(points: Any, part: str) -> NDArray[np.float32]:
    if part == "pose":
        return np.array([(p.x, p.y, p.z, p.visibility) for p in points.landmark], np.float32)
    return np.array([(p.x, p.y, p.z) for p in points.landmark], np.float32)


def _person_px(roi: Any, height: int, width: int) -> float:
    """The mean side of the rectangle around the pose, without the 1.25 that PoseLandmarksToRoi adds to it."""
    return float((roi.width * width + roi.height * height) / 2 / 1.25)
