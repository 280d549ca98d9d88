"""Extract 1662 landmark numbers from each frame of a stream; the only module that imports MediaPipe."""

import contextlib
import sys
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from common.keypoints import landmarks
from common.quiet import quiet

# MediaPipe imports tensorflow if it is installed, for nothing that is used here: 13 s instead of 2, and 500 MB.
_blocked = "tensorflow" not in sys.modules
if _blocked:
    sys.modules["tensorflow"] = None  # type: ignore[assignment]
from mediapipe.framework.formats import rect_pb2  # noqa: E402, F401 (registers the rectangle's type)
from mediapipe.python.solution_base import SolutionBase  # noqa: E402
from mediapipe.python.solutions import holistic  # noqa: E402, F401 (registers the landmarks' types)

if _blocked:
    del sys.modules["tensorflow"]

_GRAPH = "mediapipe/modules/holistic_landmark/holistic_landmark_cpu.binarypb"
_LANDMARKS = {part: f"{part}_landmarks" for part in landmarks.PARTS}
_PERSON = "poselandmarkcpu__poselandmarkfiltering__roi"  # the rectangle that MediaPipe's smoothing uses as scale
_DETECTION = "poselandmarkcpu__posedetectioncpu__TensorsToDetectionsCalculator.min_score_thresh"
_TRACKING = (
    "poselandmarkcpu__poselandmarkbyroicpu__tensorstoposelandmarksandsegmentation__ThresholdingCalculator.threshold"
)
_BLANK = np.zeros((64, 64, 3), np.uint8)


class HolisticResult(NamedTuple):
    """The landmarks of one frame."""

    vector: NDArray[np.float32]  # (1662,)
    detected_parts: tuple[str, ...]
    person_size_px: float  # size of the person in pixels of the frame, 0 without a person


class Holistic:
    """MediaPipe Holistic for one stream; it tracks between frames, so give it the frames of one stream only, in order.

    Only model_complexity 1 is inside the wheel; 0 and 2 would be downloaded. The pose is not smoothed here,
    because smoothing needs every frame and the previous one may have gone to another extractor: see
    common.keypoints.smoothing. The graph's clock follows the capture times, since a shared stream has gaps, but with an
    offset of its own: MediaPipe accepts no frame from before the last one, and its filters no frame at time 0.
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
            self._is_fresh = True  # no person was detected yet
            self.reset()  # the models load with the first frame, here a blank one

    def reset(self) -> None:
        """Stop tracking, as a new graph would: the next frame may be of another stream, at any time.

        It takes 15 ms, a new graph 135 ms, which is 6 % of all the time with short videos.
        """
        self._graph.process({"image": _BLANK})
        self._last_ns: int | None = None

    def accepts(self, captured_ns: int) -> bool:
        """Return whether this time is after that of the last frame; if not, call `reset` first."""
        return self._last_ns is None or captured_ns // 1000 > self._last_ns // 1000

    def __call__(self, image: NDArray[np.uint8], captured_ns: int) -> HolisticResult:
        """Extract the landmarks of a BGR image, uint8 (height, width, 3); raises ValueError if times do not rise."""
        if not self.accepts(captured_ns):
            raise ValueError(f"a frame at {captured_ns} ns after one at {self._last_ns} ns")
        # SolutionBase has no public way to set the time of a frame; it adds its own step of 33 ms to this one.
        if self._last_ns is None:
            self._shift_us: int = self._graph._simulated_timestamp - captured_ns // 1000
        self._last_ns = captured_ns
        self._graph._simulated_timestamp = captured_ns // 1000 + self._shift_us
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        rgb.flags.writeable = False  # else MediaPipe copies it
        with quiet() if self._is_fresh else contextlib.nullcontext():  # a pointless warning at the first person
            outputs = self._graph.process({"image": rgb})
        parts = {part: _array(getattr(outputs, output), part) for part, output in _LANDMARKS.items()}
        self._is_fresh = self._is_fresh and parts["pose"] is None
        detected = {part: values for part, values in parts.items() if values is not None}
        height, width = image.shape[:2]
        person = getattr(outputs, _PERSON)
        person_size_px = (person.width * width + person.height * height) / 2 if person else 0.0
        return HolisticResult(landmarks.flatten(detected), tuple(detected), person_size_px)

    def close(self) -> None:
        """Close the graph."""
        self._graph.close()


def _array(points: Any, part: str) -> NDArray[np.float32] | None:
    """Convert a landmark list to an array (points, values) from its serialised form: 0.1 ms a frame instead of 0.4.

    There every landmark is a tag, a length, and for each of its floats (x, y, z and for some parts visibility and
    presence, always set) a tag and four little-endian bytes.
    """
    if points is None:
        return None
    count, values = landmarks.SHAPES[part]
    rows = np.frombuffer(points.SerializeToString(), np.uint8).reshape(count, -1)
    floats = rows[:, 2:].reshape(count, -1, 5)[:, :values, 1:]
    return np.ascontiguousarray(floats).view("<f4").reshape(count, values)
