"""Pictures of one stream in, 1662 landmark numbers out: the only file that imports MediaPipe."""

import contextlib
import sys
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from common.keypoints import landmarks
from common.quiet import quiet

# MediaPipe imports tensorflow if it is there, for nothing we use: 13 s instead of 2, and 500 MB of memory.
_blocked = "tensorflow" not in sys.modules
if _blocked:
    sys.modules["tensorflow"] = None  # type: ignore[assignment]
from mediapipe.framework.formats import rect_pb2  # noqa: E402, F401 (makes the rectangle's type known)
from mediapipe.python.solution_base import SolutionBase  # noqa: E402
from mediapipe.python.solutions import holistic  # noqa: E402, F401 (makes the landmarks' types known)

if _blocked:
    del sys.modules["tensorflow"]

_GRAPH = "mediapipe/modules/holistic_landmark/holistic_landmark_cpu.binarypb"
_LANDMARKS = {part: f"{part}_landmarks" for part in landmarks.PARTS}
_PERSON = "poselandmarkcpu__poselandmarkfiltering__roi"  # the rectangle its own smoothing takes as scale
_DETECTION = "poselandmarkcpu__posedetectioncpu__TensorsToDetectionsCalculator.min_score_thresh"
_TRACKING = (
    "poselandmarkcpu__poselandmarkbyroicpu__tensorstoposelandmarksandsegmentation__ThresholdingCalculator.threshold"
)
_BLANK = np.zeros((64, 64, 3), np.uint8)


class Result(NamedTuple):
    """The landmarks of one picture."""

    vector: NDArray[np.float32]  # (1662,)
    detected_parts: tuple[str, ...]
    person_size_px: float  # size of the person in the picture's pixels, 0 if there is none


class Holistic:
    """MediaPipe Holistic on one stream of pictures; it tracks, so feed it one stream only, in order.

    Only model_complexity 1 is inside the wheel; 0 and 2 would be downloaded. The pose is not smoothed here,
    because smoothing needs every frame and another extractor may have got the one before: see
    common.keypoints.smoothing. The graph's clock goes as the capture times do, since a shared stream comes with gaps,
    but from a start of its own: MediaPipe takes no picture from before the last one, and its filters no frame at 0.
    """

    def __init__(self, min_detection_confidence: float = 0.5, min_tracking_confidence: float = 0.5) -> None:
        with quiet():
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
                calculator_params={_DETECTION: min_detection_confidence, _TRACKING: min_tracking_confidence},
                outputs=[*_LANDMARKS.values(), _PERSON],
            )
            self._is_fresh = True  # nobody was seen yet
            self.reset()  # the models load with the first picture: let it be a blank one

    def reset(self) -> None:
        """Lose whoever is tracked: what comes next may be another stream, of any time, as if to a new graph.

        It takes 15 ms, a new graph 135: with short videos 6 % of all the time.
        """
        self._graph.process({"image": _BLANK})
        self._last_ns: int | None = None

    def accepts(self, captured_ns: int) -> bool:
        """Whether time goes on; where it runs back, `forget` comes first."""
        return self._last_ns is None or captured_ns // 1000 > self._last_ns // 1000

    def __call__(self, picture: NDArray[np.uint8], captured_ns: int) -> Result:
        """The landmarks of a BGR uint8 (height, width, 3); times must rise."""
        if not self.accepts(captured_ns):
            raise ValueError(f"a picture at {captured_ns} ns after one at {self._last_ns} ns")
        if self._last_ns is None:
            self._shift_us: int = self._graph._simulated_timestamp - captured_ns // 1000
        self._last_ns = captured_ns
        self._graph._simulated_timestamp = captured_ns // 1000 + self._shift_us  # SolutionBase adds its step of 33 ms
        image = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        image.flags.writeable = False  # else MediaPipe copies it
        with quiet() if self._is_fresh else contextlib.nullcontext():  # a warning at the first person, about nothing
            found = self._graph.process({"image": image})
        parts = {part: _array(getattr(found, output), part) for part, output in _LANDMARKS.items()}
        self._is_fresh = self._is_fresh and parts["pose"] is None
        present = {part: values for part, values in parts.items() if values is not None}
        height, width = picture.shape[:2]
        person = getattr(found, _PERSON)
        scale_px = (person.width * width + person.height * height) / 2 if person else 0.0
        return Result(landmarks.flatten(present), tuple(present), scale_px)

    def close(self) -> None:
        self._graph.close()


def _array(points: Any, part: str) -> NDArray[np.float32] | None:
    """A landmark list as (points, values), from its serialised form: 0.1 ms a frame instead of 0.4 number by number.

    In it every landmark is a tag, a length, and for each of its floats (x, y, z and perhaps visibility and
    presence, all always set) a tag and four little-endian bytes.
    """
    if points is None:
        return None
    count, values = landmarks.SHAPES[part]
    rows = np.frombuffer(points.SerializeToString(), np.uint8).reshape(count, -1)
    floats = rows[:, 2:].reshape(count, -1, 5)[:, :values, 1:]
    return np.ascontiguousarray(floats).view("<f4").reshape(count, values)
