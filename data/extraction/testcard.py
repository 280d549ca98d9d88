"""Extract labelled sequences from the test card."""

import numpy as np

from common.keypoints.holistic import Holistic
from common.keypoints.smoothing import PoseSmoother
from common.recording.sequence import KeypointSequence
from common.video.testcard import TestCard, schedule

FPS = 25.0
WIDTH, HEIGHT = 640, 480
MARGIN_S = 0.6  # half of a window of 30 at 25 frames/s


def record(seed: int, seconds: float) -> list[KeypointSequence]:
    """Extract the sequences of one test card as live, with MARGIN_S before and after each."""
    card, holistic, smoother = TestCard(seed, WIDTH, HEIGHT), Holistic(), PoseSmoother()
    times = np.round(np.arange(int(seconds * FPS)) / FPS * 1e9).astype(np.int64)
    vectors = []
    for captured_ns in times.tolist():
        vector, _, scale_px = holistic(card.frame(captured_ns / 1e9), captured_ns)
        vectors.append(smoother(vector, captured_ns, scale_px, (WIDTH, HEIGHT)))
    holistic.close()
    keypoints = np.stack(vectors)
    sequences = []
    for label, start_s, end_s in schedule(seed, seconds):
        inside = (times >= (start_s - MARGIN_S) * 1e9) & (times < (end_s + MARGIN_S) * 1e9)
        sequences.append(KeypointSequence(label, keypoints[inside], times[inside], f"card-{seed}", "testcard", FPS))
    return sequences
