"""What Holistic found on the first seconds of a test card, stored: tests start from the same numbers on any machine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from common.bus.messages import Keypoints, Message
from common.keypoints.landmarks import PARTS, SLICES
from common.keypoints.smoothing import PoseSmoother
from common.video.testcard import TestCard

FILE: Final = Path(__file__).parent / "golden" / "recording.npz"
SEED: Final = 0  # the shipped model was trained on seeds from 101
FRAMES: Final = 300  # a rest, a nod, a rest and the most of a shake
PERIOD_NS: Final = 40_000_000
STEPS: Final = 2048  # to a width or height of the image; they are stored as differences along time

Found = tuple[np.ndarray, float]  # landmarks (1662,), size of the person in pixels


def find(frames: int) -> Iterator[Found]:
    """By the real Holistic, now: two processors differ in the third digit."""
    from common.keypoints.holistic import Holistic

    card, holistic = TestCard(SEED), Holistic()
    try:
        for captured_ns in range(0, frames * PERIOD_NS, PERIOD_NS):
            vector, _, scale_px = holistic(card.frame(captured_ns / 1e9), captured_ns)
            yield vector, scale_px
    finally:
        holistic.close()


def store(found: list[Found]) -> None:
    places = np.round(np.stack([vector for vector, _ in found]) * STEPS).astype(np.int16)
    np.savez_compressed(
        FILE, steps=np.diff(places, axis=0, prepend=np.int16(0)).T, scale_px=np.float32([size for _, size in found])
    )


def stored() -> list[Found]:
    with np.load(FILE) as file:
        places = np.cumsum(file["steps"].T, axis=0, dtype=np.int16)
        return list(zip((places / STEPS).astype(np.float32), file["scale_px"].tolist(), strict=True))


def detected_parts(vector: np.ndarray) -> tuple[str, ...]:
    """The parts of a vector (1662,) that are not all zeros."""
    return tuple(part for part in PARTS if vector[SLICES[part]].any())


def keypoints(found: list[Found]) -> list[Message]:
    """What the keypoints topic carries of it, smoothed, and the end."""
    smoother, messages = PoseSmoother(), []
    for seq, (vector, scale_px) in enumerate(found):
        times = {"captured_ns": seq * PERIOD_NS, "ingested_ns": seq * PERIOD_NS}
        header = Keypoints(stream="cam", seq=seq, **times, detected_parts=detected_parts(vector))
        messages.append(Message(header, smoother(vector, header.captured_ns, scale_px, (640, 480))))
    end = Keypoints(stream="cam", seq=len(found), captured_ns=0, ingested_ns=0, live=False, end_of_stream=True)
    return [*messages, Message(end)]
