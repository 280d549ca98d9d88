"""Programs to compare with, each a process of its own.

`python -m tests.bench.loops notebook CLIP` is the loop of nicknochnack/ActionDetectionforSignLanguage, without its
window: read, Holistic, draw, predict on the last 30 with model.predict. `... bare CLIP` only reads and runs Holistic.
Both never end, and print a line for every frame. `... paced CLIP` is bare at 25 frames/s, as a camera would give them,
and `... classifier MODEL` runs one window after the other through a model folder as `inference` does; these two print
their measurements as JSON.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import cv2
import numpy as np

WARM_UP = 40  # frames not counted: the models load, the window fills
DRAWN = (
    ("face_landmarks", "FACEMESH_CONTOURS"),
    ("pose_landmarks", "POSE_CONNECTIONS"),
    ("left_hand_landmarks", "HAND_CONNECTIONS"),
    ("right_hand_landmarks", "HAND_CONNECTIONS"),
)


def endless(clip: Path, work: Callable[[Any], None]) -> NoReturn:
    """Processes the frames of a clip over and over, and prints a line for each."""
    while True:
        capture = cv2.VideoCapture(str(clip))
        while (decoded := capture.read())[0]:
            work(decoded[1])
            print(flush=True)


def print_times(times_s: list[float]) -> None:
    counted_ms = 1000 * np.array(times_s[WARM_UP:])
    print(json.dumps({"p50_ms": float(np.median(counted_ms)), "p95_ms": float(np.percentile(counted_ms, 95))}))


def notebook(clip: Path) -> NoReturn:
    """Read, Holistic, draw, model.predict on the last 30 frames, one after the other in one process."""
    import tensorflow as tf
    from mediapipe.python.solutions import drawing_utils, holistic

    layers = tf.keras.layers
    model = tf.keras.Sequential([layers.Input((30, 1662))])
    for units, sequences in ((64, True), (128, True), (64, False)):
        model.add(layers.LSTM(units, return_sequences=sequences, activation="relu"))
    for units, activation in ((64, "relu"), (32, "relu"), (3, "softmax")):
        model.add(layers.Dense(units, activation=activation))
    graph, window = holistic.Holistic(), []

    def values(points: Any, count: int, fields: str) -> np.ndarray:
        found = points.landmark if points else ()
        numbers = [[p.x, p.y, p.z, p.visibility][: len(fields)] for p in found]
        return np.array(numbers).flatten() if numbers else np.zeros(count * len(fields))

    def work(frame: Any) -> None:
        found = graph.process(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
        for part, lines in DRAWN:
            drawing_utils.draw_landmarks(frame, getattr(found, part), getattr(holistic, lines))
        parts = (
            values(found.pose_landmarks, 33, "xyzv"),
            values(found.face_landmarks, 468, "xyz"),
            values(found.left_hand_landmarks, 21, "xyz"),
            values(found.right_hand_landmarks, 21, "xyz"),
        )
        window.append(np.concatenate(parts))
        del window[:-30]
        if len(window) == 30:
            model.predict(np.expand_dims(window, 0), verbose=0)

    endless(clip, work)


def bare(clip: Path) -> NoReturn:
    """Read and Holistic."""
    graph = holistic_graph()
    endless(clip, lambda frame: graph.process(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)))


def paced(clip: Path) -> None:
    """Holistic's own times at 25 frames/s."""
    graph, capture, times_s = holistic_graph(), cv2.VideoCapture(str(clip)), []
    due_s = time.perf_counter()
    while (decoded := capture.read())[0]:
        due_s += 0.04
        time.sleep(max(0.0, due_s - time.perf_counter()))
        before_s = time.perf_counter()
        graph.process(cv2.cvtColor(decoded[1], cv2.COLOR_BGR2RGB))
        times_s.append(time.perf_counter() - before_s)
    print_times(times_s)


def holistic_graph() -> Any:
    sys.modules["tensorflow"] = None  # type: ignore[assignment]
    from mediapipe.python.solutions import holistic

    return holistic.Holistic()


def classifier(model: Path) -> None:
    """Windows of noise, one by one."""
    from common.keypoints.landmarks import SIZE
    from common.recognition.classifier import Classifier

    classify, times_s = Classifier(model), []
    shape = (WARM_UP + 500, 1, classify.card.window.length, SIZE)
    for window in np.random.default_rng(0).random(shape, np.float32):
        before_s = time.perf_counter()
        classify(window)
        times_s.append(time.perf_counter() - before_s)
    print_times(times_s)


PROGRAMS = {"notebook": notebook, "bare": bare, "paced": paced, "classifier": classifier}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](Path(sys.argv[2]))
