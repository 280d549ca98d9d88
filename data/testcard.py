"""Runs the test card through Holistic: seeds in, a labelled data set out.

    python -m data.testcard --out data/testcard --seeds 101-108 --seconds 60

A sequence is one movement or rest with half a window before and after it, so that the middle of every
window cut from it lies within what its label says.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from common.errors import UserError, command
from common.keypoints.holistic import Holistic
from common.keypoints.smoothing import PoseSmoother
from common.recording.dataset_writer import Collection
from common.recording.sequence import Sequence
from common.video.testcard import TestCard, schedule

FPS = 25.0
WIDTH, HEIGHT = 640, 480
MARGIN_S = 0.6  # half of a window of 30 at 25 frames/s


def record(seed: int, seconds: float) -> list[Sequence]:
    """The sequences of one test card, through the same extraction and smoothing as live."""
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
        sequences.append(Sequence(label, keypoints[inside], times[inside], f"card-{seed}", "testcard", FPS))
    return sequences


def _seeds(text: str) -> list[int]:
    first, _, last = text.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    if not seeds:
        raise argparse.ArgumentTypeError(f"{text} are none: write them as 101-108")
    return list(seeds)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m data.testcard", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the data set to write")
    parser.add_argument("--seeds", type=_seeds, default=_seeds("101-108"), help="such as 101-108")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each card (60)")
    parser.add_argument("--workers", type=int, default=2, help="processes (2)")
    arguments = parser.parse_args()
    with command():
        _write_all(arguments)


def _write_all(arguments: argparse.Namespace) -> None:
    if arguments.seconds < 1 or arguments.workers < 1:
        raise UserError("--seconds and --workers must be 1 or more.")
    if arguments.out.exists():
        raise UserError(f"{arguments.out} is there already: choose another folder, or remove it.")
    with Collection(arguments.out) as collection, ProcessPoolExecutor(arguments.workers) as pool:
        cards = pool.map(record, arguments.seeds, [arguments.seconds] * len(arguments.seeds))
        for seed, sequences in zip(arguments.seeds, cards, strict=True):
            for number, sequence in enumerate(sequences):
                collection.add(f"{seed}-{number:03d}", sequence, origin=f"test card {seed}")
            print(f"card {seed}: {len(sequences)} sequences")


if __name__ == "__main__":
    main()
