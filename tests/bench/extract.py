"""Extract a folder of videos, in turn with bare Holistic on the same ones: `python -m tests.bench.extract CLIPS`.

Both use as many processes as there are cores and decode the videos themselves. With the start-up both import MediaPipe
and load its models; without it only the time counts in which frames are worked on.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple

import cv2

from data.extraction.report import REPORT
from data.extraction.videos import find_videos
from tests.pipeline import ROOT

CORES = os.cpu_count() or 1
PERIOD_NS = 40_000_000


class Rates(NamedTuple):
    """Frames a second, of all processes together."""

    working: float
    with_start: float


def images(path: Path) -> Iterator[object]:
    capture = cv2.VideoCapture(str(path))
    while (decoded := capture.read())[0]:
        yield decoded[1]


def bare(paths: list[Path], ready: "Queue[int]", go: Event, done: "Queue[int]") -> None:
    """One graph for all videos, and nothing kept."""
    from common.keypoints.holistic import Holistic

    holistic, frames = Holistic(), 0
    ready.put(0)
    go.wait()
    for path in paths:
        for image in images(path):
            holistic(image, frames * PERIOD_NS)  # type: ignore[arg-type]
            frames += 1
    done.put(frames)


def run_bare(paths: list[Path]) -> Rates:
    context, begun_s = multiprocessing.get_context("spawn"), time.perf_counter()
    ready, done, go = context.Queue(), context.Queue(), context.Event()
    processes = [context.Process(target=bare, args=(paths[n::CORES], ready, go, done)) for n in range(CORES)]
    for process in processes:
        process.start()
    for _ in processes:
        ready.get()
    working_s = time.perf_counter()
    go.set()
    frames = sum(done.get() for _ in processes)
    ended_s = time.perf_counter()
    for process in processes:
        process.join()
    return Rates(frames / (ended_s - working_s), frames / (ended_s - begun_s))


def run_extract(source: Path, out: Path) -> Rates:
    command, begun_s = [sys.executable, "-m", "data.extract", str(source), "--out", str(out)], time.perf_counter()
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    took_s = time.perf_counter() - begun_s
    rows = [json.loads(line) for line in (out / REPORT).read_text().splitlines()]
    frames = sum(row["frames"] for row in rows)
    worked_s = sum(row["frames"] / row["rate"] for row in rows if row["frames"]) / CORES
    return Rates(frames / worked_s, frames / took_s)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.extract", description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, help="a folder of videos, as data.extract takes it")
    parser.add_argument("--rounds", type=int, default=3, help="of each, in turn (3)")
    options = parser.parse_args()
    videos = sorted(find_videos(options.clips), key=lambda video: -video.size)
    ratios = []
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            theirs, ours = run_bare([video.path for video in videos]), run_extract(options.clips, Path(folder) / "set")
        print(
            f"round {number + 1}: bare Holistic {theirs.working:.1f} frames/s, data.extract {ours.working:.1f};",
            end=" ",
        )
        print(f"with start-up {theirs.with_start:.1f} and {ours.with_start:.1f}", flush=True)
        ratios.append((ours.working / theirs.working, ours.with_start / theirs.with_start))
    working, with_start = (statistics.median(column) for column in zip(*ratios, strict=True))
    print(f"data.extract over bare Holistic, {CORES} processes: {working:.2f}, with start-up {with_start:.2f}")


if __name__ == "__main__":
    main()
