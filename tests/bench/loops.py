"""Programs to compare with, each a process of its own: a clip in, one line of JSON out.

`python -m tests.bench.loops notebook CLIP`: the loop of the well-known notebook, without its window: read,
Holistic, draw, predict on the last 30 with model.predict. `... bare CLIP`: read and Holistic, nothing else.
`... paced CLIP`: the same at 25 frames/s, as a camera would give them. `... classifier MODEL`: one window after
the other through a model folder, compiled as `inference` runs it.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

WARM_UP = 40  # frames not counted: the models load, the window fills
DRAWN = (
    ("face_landmarks", "FACEMESH_CONTOURS"),
    ("pose_landmarks", "POSE_CONNECTIONS"),
    ("left_hand_landmarks", "HAND_CONNECTIONS"),
    ("right_hand_landmarks", "HAND_CONNECTIONS"),
)


def timed(clip: Path, work: Callable[[Any], None], period_s: float = 0.0) -> dict[str, float]:
    """Frames/s, processor time a frame and each step's time of a program that works on every frame of a clip."""
    capture, times_s, began_s, began_cpu_s = cv2.VideoCapture(str(clip)), [], 0.0, 0.0
    due_s = time.perf_counter()
    while True:
        ok, frame = capture.read()
        if not ok:
            break
        due_s += period_s
        time.sleep(max(0.0, due_s - time.perf_counter()))
        before_s = time.perf_counter()
        work(frame)
        times_s.append(time.perf_counter() - before_s)
        if len(times_s) == WARM_UP:
            began_s, began_cpu_s = time.perf_counter(), time.process_time()
    counted = times_s[WARM_UP:]
    return {
        "frames_per_s": len(counted) / (time.perf_counter() - began_s),
        "cpu_ms": 1000 * (time.process_time() - began_cpu_s) / len(counted),
        "p50_ms": 1000 * statistics.median(counted),
        "p95_ms": 1000 * float(np.percentile(counted, 95)),
    }


def notebook(clip: Path) -> dict[str, float]:
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

    return timed(clip, work)


def bare(clip: Path, period_s: float = 0.0) -> dict[str, float]:
    """Read and Holistic."""
    sys.modules["tensorflow"] = None  # type: ignore[assignment]
    from mediapipe.python.solutions import holistic

    graph = holistic.Holistic()
    return timed(clip, lambda frame: graph.process(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)), period_s)


def paced(clip: Path) -> dict[str, float]:
    """Read and Holistic, at 25 frames/s."""
    return bare(clip, period_s=0.04)


def classifier(model: Path) -> dict[str, float]:
    """Windows of noise, one by one."""
    from common.classifier import Classifier
    from common.landmarks import SIZE

    classify, times_s = Classifier(model), []
    shape = (WARM_UP + 500, 1, classify.card.window.length, SIZE)
    for window in np.random.default_rng(0).random(shape, np.float32):
        before_s = time.perf_counter()
        classify(window)
        times_s.append(time.perf_counter() - before_s)
    return {"p50_ms": 1000 * statistics.median(times_s[WARM_UP:])}


PROGRAMS = {"notebook": notebook, "bare": bare, "paced": paced, "classifier": classifier}

if __name__ == "__main__":
    print(json.dumps(PROGRAMS[sys.argv[1]](Path(sys.argv[2]))))
