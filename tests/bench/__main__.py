"""Compare the pipeline with a loop like that of nicknochnack/ActionDetectionforSignLanguage, and with bare Holistic.

    python -m tests.bench --clip clip.mp4 --json bench.json

Prints a table. What is compared in speed runs side by side, see tests/bench/contest.py. Without --clip the test
card is shown.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from common.bus.messages import Prediction, Status
from common.video.testcard import TestCard
from tests.bench.contest import Pipelines, Programs, contest
from tests.pipeline import collect, pipeline

FPS = 25.0
FRAMES = 600  # of the clip that is shown
LIMIT_S = 900
MODEL = Path("pretrained/testcard")

# What is measured.
NOTEBOOK = "notebook's loop"
BARE_1 = "bare Holistic, 1 process"
BARE_2 = "bare Holistic, 2 processes"
FILE = "file, 2 keypoints, logger"
VIEWER = "the same, and a viewer of the page"
VIDEO = "the same, and overlay.mp4 written"


def prepare(clip: Path | None, frames: int, folder: Path) -> Path:
    """A clip of so many frames at 25 frames/s: the given one over and over, or the test card."""
    path, images = folder / "bench.mp4", []
    if clip is None:
        card = TestCard(0)
        images = [card.frame(number / FPS) for number in range(frames)]
    else:
        capture = cv2.VideoCapture(str(clip))
        while (decoded := capture.read())[0]:
            images.append(decoded[1])
    height, width = images[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (width, height))
    # Forwards and backwards, so that nothing jumps where the clip begins again.
    there_and_back = images + images[-2:0:-1]
    for number in range(frames):
        writer.write(there_and_back[number % len(there_and_back)])
    writer.release()
    return path


def own_times(program: str, path: Path) -> dict[str, float]:
    """What a program of tests.bench.loops measures of itself."""
    command = [sys.executable, "-m", "tests.bench.loops", program, str(path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, timeout=LIMIT_S)
    return json.loads(done.stdout)


def side_by_side(clip: Path, folder: Path, rounds: int) -> dict[str, dict[str, Any]]:
    """Everything that is to be as fast as it can."""
    with ExitStack() as stack:
        starts = {
            NOTEBOOK: lambda: Programs(stack, "notebook", clip),
            BARE_1: lambda: Programs(stack, "bare", clip),
            BARE_2: lambda: Programs(stack, "bare", clip, 2),
            FILE: lambda: Pipelines(stack, folder / "file", clip, 2),
            VIEWER: lambda: Pipelines(stack, folder / "viewer", clip, 2, viewer=True),
            VIDEO: lambda: Pipelines(stack, folder / "video", clip, 2, video=True),
        }
        return contest(starts, rounds)


def live(clip: Path, folder: Path, seconds: float) -> dict[str, Any]:
    """The Procfile on a stream of 25 frames/s: ages of predictions, processor time from the services' reports."""
    folder.mkdir()
    arrivals, statuses, began_s = [], [], time.monotonic()
    paced = {"camera__source": clip, "camera__live": "true", "camera__loop": "true", "camera__seconds": seconds}
    with pipeline(folder, without=("overlay",), logger__out=folder / "out", **paced) as running:
        for arrived_ns, (header, _) in collect(running, ["prediction", "status"], LIMIT_S):
            if isinstance(header, Prediction) and header.label and not header.end_of_stream:
                arrivals.append((arrived_ns, header))
            elif isinstance(header, Status):
                statuses.append((arrived_ns, header))
        running.wait(60)
    first_ns, last_ns = arrivals[0][0], arrivals[-1][0]
    ages_ms = [(arrived_ns - header.ingested_ns) / 1e6 for arrived_ns, header in arrivals]
    half = len(ages_ms) // 2
    return {
        "frames_per_s": (len(arrivals) - 1) / (last_ns - first_ns) * 1e9,
        "p50_ms": float(np.percentile(ages_ms, 50)),
        "p95_ms": float(np.percentile(ages_ms, 95)),
        "median_first_half_ms": float(np.median(ages_ms[:half])),
        "median_second_half_ms": float(np.median(ages_ms[half:])),
        "start_to_first_prediction_s": arrivals[0][0] / 1e9 - (time.time_ns() / 1e9 - (time.monotonic() - began_s)),
        "services": _services(statuses, [arrived_ns for arrived_ns, _ in arrivals]),
    }


def _services(statuses: list[tuple[int, Status]], arrivals_ns: list[int]) -> dict[str, Any]:
    """By service: processor time a frame while predictions flowed, highest memory, missed and dropped."""
    processes: dict[str, list[tuple[int, Status]]] = {}
    for arrived_ns, status in statuses:
        if arrivals_ns[0] <= arrived_ns <= arrivals_ns[-1]:
            processes.setdefault(status.stream, []).append((arrived_ns, status))
    services: dict[str, Any] = {}
    for reports in processes.values():
        (begun_ns, begun), (ended_ns, ended) = reports[0], reports[-1]
        frames = sum(begun_ns < arrived_ns <= ended_ns for arrived_ns in arrivals_ns)
        if not frames:
            continue
        row = services.setdefault(ended.service, {"cpu_ms": 0.0, "memory_mb": 0.0, "missed": 0, "dropped": 0})
        row["cpu_ms"] += 1000 * (ended.cpu_s - begun.cpu_s) / frames
        row["memory_mb"] += max(status.memory_mb for _, status in reports)
        row["missed"] += ended.missed
        row["dropped"] += ended.dropped
    return services


def other_share(cpu_ms: dict[str, float]) -> float:
    """Per cent of the processor time in services that neither run Holistic nor draw."""
    other = sum(value for name, value in cpu_ms.items() if name not in ("keypoints", "overlay"))
    return 100 * other / sum(cpu_ms.values())


def rows(measured: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What, and how much."""
    fastest = measured["side by side"]
    fps = {name: row["frames_per_s"] for name, row in fastest.items()}
    for name in (NOTEBOOK, BARE_1, BARE_2):
        yield name, f"{fps[name]:.1f} frames/s, {fastest[name]['cpu_ms']['all']:.1f} ms of processor time a frame"
    for name in (FILE, VIEWER, VIDEO):
        yield name, f"{fps[name]:.1f} frames/s"
        yield "  over two bare Holistics", f"{fps[name] / fps[BARE_2]:.2f}"
        yield "  over the notebook's loop", f"{fps[name] / fps[NOTEBOOK]:.2f}"
        yield "  neither Holistic nor drawing", f"{other_share(fastest[name]['cpu_ms']):.1f} % of the processor time"
    run, holistic = measured["live"], measured["Holistic at 25 frames/s"]
    yield "live at 25 frames/s, one keypoints", f"{run['frames_per_s']:.1f} predictions/s"
    yield "  capture to prediction, p50 and p95", f"{run['p50_ms']:.1f} and {run['p95_ms']:.1f} ms"
    yield "  Holistic's own, p50 and p95", f"{holistic['p50_ms']:.1f} and {holistic['p95_ms']:.1f} ms"
    yield "  p95 over Holistic's own", f"{run['p95_ms'] / holistic['p95_ms']:.2f}"
    halves = run["median_first_half_ms"], run["median_second_half_ms"]
    yield "  median age, first and second half", f"{halves[0]:.1f} and {halves[1]:.1f} ms"
    yield "  start to first prediction", f"{run['start_to_first_prediction_s']:.1f} s"
    yield (
        "  neither Holistic nor drawing",
        f"{other_share({name: row['cpu_ms'] for name, row in run['services'].items()}):.1f} % of the processor time",
    )
    yield "classifier, one window", f"{measured['classifier']['p50_ms']:.2f} ms"


def services(fastest: dict[str, Any], run: dict[str, Any]) -> Table:
    """Processor time, memory and losses by service."""
    table = Table("service", "file, ms a frame", "live, ms a frame", "live, MB", "missed", "dropped")
    for name, row in sorted(run.items(), key=lambda item: -item[1]["cpu_ms"]):
        shown = fastest["cpu_ms"][name], row["cpu_ms"], row["memory_mb"]
        table.add_row(name, *(f"{value:.2f}" for value in shown), str(row["missed"]), str(row["dropped"]))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--clip", type=Path, help="a video with a person in view; without it the test card")
    parser.add_argument("--json", type=Path, help="write the measurements to this file")
    parser.add_argument("--rounds", type=int, default=40, help="slices of 0.7 s for each program (40)")
    parser.add_argument("--live-seconds", type=float, default=60, help="length of the live run (60)")
    options = parser.parse_args()
    if options.clip and not cv2.VideoCapture(str(options.clip)).isOpened():
        sys.exit(f"{options.clip} is not a video that can be decoded.")
    console = Console()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = prepare(options.clip, FRAMES, folder)
        steps = {
            "side by side": lambda: side_by_side(clip, folder, options.rounds),
            "Holistic at 25 frames/s": lambda: own_times("paced", clip),
            "live": lambda: live(clip, folder / "live", options.live_seconds),
            "classifier": lambda: own_times("classifier", MODEL),
        }
        measured: dict[str, Any] = {"machine": machine(), "date": f"{datetime.now(timezone.utc):%Y-%m-%d}"}
        for step, measure in steps.items():
            console.print(f"measuring: {step} ...")
            measured[step] = measure()
    table = Table("what", "measured", title=f"{measured['machine']}, {measured['date']}")
    for row in rows(measured):
        table.add_row(*row)
    console.print(table)
    console.print(services(measured["side by side"][FILE], measured["live"]["services"]))
    if options.json:
        options.json.write_text(json.dumps(measured, indent=2) + "\n")


def machine() -> str:
    """The processor and the number of its cores that are ours."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.machine()}, {os.cpu_count()} cores"


if __name__ == "__main__":
    main()
