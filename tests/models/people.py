"""Synthetic people: sequences in which one landmark is the label, and a model that reads it."""

import numpy as np
from numpy.typing import NDArray

from common.keypoints.features import RAW
from common.keypoints.landmarks import LAYOUT, LEFT_WRIST, RIGHT_WRIST, SIZE, split
from common.recognition.classifier import ModelCard, WindowSpec
from common.recognition.decision import Parameters
from common.recording.sequence import KeypointSequence

LABELS = ["idle", "clap", "nod", "wave"]
PERIOD_NS = 40_000_000
NUMBER = 3  # the visibility of the nose: the label's number


def person(labels: "list[str]", seed: int = 0) -> NDArray[np.float32]:
    """Return keypoints (n, 1662) of somebody who performs labels, a frame each; when idle, hands are down."""
    vectors = np.random.default_rng(seed).uniform(0.4, 0.6, (len(labels), SIZE)).astype(np.float32)
    idle = np.array(labels) == LABELS[0]
    parts = split(vectors)
    parts["pose"][:, [LEFT_WRIST, RIGHT_WRIST], 1] = np.where(idle, 0.95, 0.5)[:, None]
    parts["left_hand"][idle] = parts["right_hand"][idle] = 0
    vectors[:, NUMBER] = [LABELS.index(label) for label in labels]
    return vectors


def sequence(
    label: str, *, frames: int = 30, subject: str = "anna", seed: int = 0, start_ns: int = 0
) -> KeypointSequence:
    times = start_ns + np.arange(frames, dtype=np.int64) * PERIOD_NS
    return KeypointSequence(label, person([label] * frames, seed), times, subject, "cam", 25.0)


def card(**other: object) -> ModelCard:
    fields: dict[str, object] = {
        "layout": LAYOUT,
        "labels": LABELS,
        "idle": LABELS[:1],
        "window": WindowSpec(length=10, fps=25.0),
        "features": RAW,
        "decision": Parameters(),
        "layers": "",
        "parameters": 0,
        "data": {},
        "metrics": {},
        "seed": 0,
        "versions": {},
        "commit": "",
        "trained": "",
    }
    return ModelCard(**(fields | other))  # type: ignore[arg-type]


def read_number(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return probabilities (n, labels): the ratio of a window's frames that show each."""
    numbers = windows[..., NUMBER].round().astype(int)
    return np.stack([(numbers == number).mean(axis=1) for number in range(len(LABELS))], axis=1).astype(np.float32)
