"""Measures the pipeline against the notebook's loop and bare Holistic, all on one clip in one run.

    python -m tests.bench --clip clip.mp4 --json bench.json

Prints a table. On a machine whose speed drifts only the ratios tell something, each taken within one round, and
only their medians. Without --clip the test card is shown.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from common.messages import Prediction, Status
from common.testcard import TestCard
from tests.pipeline import PAGE_OFFSET, collect, pipeline

FPS = 25.0
LIMIT_S = 900
MODEL = Path("models/testcard")

# What is measured.
NOTEBOOK = "notebook's loop"
BARE_1 = "bare Holistic, 1 process"
BARE_2 = "bare Holistic, 2 processes"
PACED = "bare Holistic at 25 frames/s"
FILE = "file, 2 keypoints, logger"
VIEWER = "the same, and a viewer of the page"
VIDEO = "the same, and overlay.mp4 written"
LIVE = "live at 25 frames/s, 1 keypoints"
CLASSIFIER = "classifier, one window"


def prepare(clip: Path | None, frames: int, folder: Path) -> Path:
    """A clip of so many frames at 25 frames/s: the given one over and over, or the test card."""
    path, pictures = folder / "bench.mp4", []
    if clip is None:
        card = TestCard(0)
        pictures = [card.frame(number / FPS) for number in range(frames)]
    else:
        capture = cv2.VideoCapture(str(clip))
        while (shot := capture.read())[0]:
            pictures.append(shot[1])
    height, width = pictures[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (width, height))
    # Forwards and backwards, so that nothing jumps where the clip begins again.
    there_and_back = pictures + pictures[-2:0:-1]
    for number in range(frames):
        writer.write(there_and_back[number % len(there_and_back)])
    writer.release()
    return path


def loops(kind: str, path: Path, processes: int = 1) -> dict[str, float]:
    """Frames/s of all processes together, the other figures of one."""
    command = [sys.executable, "-m", "tests.bench.loops", kind, str(path)]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(processes)
    ]
    results = [json.loads(process.communicate(timeout=LIMIT_S)[0]) for process in started]
    keys = results[0].keys() - {"frames_per_s"}
    together = sum(result.get("frames_per_s", 0.0) for result in results)
    return {"frames_per_s": together, **{key: float(np.mean([r[key] for r in results])) for key in keys}}


def look_at(port: int) -> None:
    """A viewer: opens the page's stream as soon as it is there, and reads pictures until it ends."""
    looking = True
    while looking:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/stream/cam") as pictures:
                while looking := bool(pictures.read(65_536)):
                    pass
        except urllib.error.HTTPError:
            time.sleep(0.1)  # the page is there, its stream not yet
        except OSError:
            time.sleep(0.5)


def whole(
    clip: Path, folder: Path, keypoints: int, viewer: bool = False, video: bool = False, **settings: object
) -> dict[str, Any]:
    """The Procfile with a logger; frames/s and ages from predictions, processor time from the services' reports."""
    folder.mkdir()
    arrivals, statuses, began_s = [], [], time.monotonic()
    if video:
        settings["overlay__video"] = folder / "overlay.mp4"
    with pipeline(
        folder,
        keypoints=keypoints,
        without=() if viewer or video else ("overlay",),
        camera__source=clip,
        logger__out=folder / "out",
        **settings,
    ) as running:
        if viewer:
            threading.Thread(target=look_at, args=(running.endpoints.port + PAGE_OFFSET,), daemon=True).start()
        for arrived_ns, (header, _) in collect(running, ["prediction", "status"], LIMIT_S):
            if isinstance(header, Prediction) and header.label and not header.end:
                arrivals.append((arrived_ns, header))
            elif isinstance(header, Status):
                statuses.append((arrived_ns, header))
        running.wait(60)
    first_ns, last_ns = arrivals[0][0], arrivals[-1][0]
    ages_ms = [(arrived_ns - header.entered_ns) / 1e6 for arrived_ns, header in arrivals]
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


@dataclass(frozen=True)
class Figure:
    """One row of the table: a figure of each round, and the median of them."""

    name: str
    unit: str
    of: Callable[[dict[str, Any]], float]

    def median(self, rounds: list[dict[str, Any]]) -> float:
        return statistics.median(self.of(measured) for measured in rounds)

    def row(self, rounds: list[dict[str, Any]]) -> tuple[str, str, str]:
        each = ", ".join(f"{self.of(measured):.2f}" for measured in rounds)
        return self.name, f"{self.median(rounds):.2f} {self.unit}".strip(), each


def _fps(step: str) -> Callable[[dict[str, Any]], float]:
    return lambda measured: float(measured[step]["frames_per_s"])


def _ratio(step: str, other: str, key: str = "frames_per_s") -> Callable[[dict[str, Any]], float]:
    return lambda measured: float(measured[step][key] / measured[other][key])


def _other_share(step: str) -> Callable[[dict[str, Any]], float]:
    """Per cent of the processor time in services that neither run Holistic nor draw."""

    def share(measured: dict[str, Any]) -> float:
        cpu_ms = {name: row["cpu_ms"] for name, row in measured[step]["services"].items()}
        other = sum(value for name, value in cpu_ms.items() if name not in ("keypoints", "overlay"))
        return float(100 * other / sum(cpu_ms.values()))

    return share


def _value(step: str, key: str) -> Callable[[dict[str, Any]], float]:
    return lambda measured: float(measured[step][key])


FIGURES = (
    Figure(NOTEBOOK, "frames/s", _fps(NOTEBOOK)),
    Figure(BARE_1, "frames/s", _fps(BARE_1)),
    Figure(BARE_2, "frames/s", _fps(BARE_2)),
    Figure(FILE, "frames/s", _fps(FILE)),
    Figure("  over two bare Holistics", "", _ratio(FILE, BARE_2)),
    Figure("  over the notebook's loop", "", _ratio(FILE, NOTEBOOK)),
    Figure("  neither Holistic nor drawing", "% of processor time", _other_share(FILE)),
    Figure(VIEWER, "frames/s", _fps(VIEWER)),
    Figure("  over two bare Holistics", "", _ratio(VIEWER, BARE_2)),
    Figure(VIDEO, "frames/s", _fps(VIDEO)),
    Figure("  over two bare Holistics", "", _ratio(VIDEO, BARE_2)),
    Figure(LIVE, "predictions/s", _fps(LIVE)),
    Figure("  capture to prediction, p50", "ms", _value(LIVE, "p50_ms")),
    Figure("  capture to prediction, p95", "ms", _value(LIVE, "p95_ms")),
    Figure("  p95 over Holistic's own at 25 frames/s", "", _ratio(LIVE, PACED, "p95_ms")),
    Figure("  p95 over Holistic's own at full speed", "", _ratio(LIVE, BARE_1, "p95_ms")),
    Figure("  median age in the first half", "ms", _value(LIVE, "median_first_half_ms")),
    Figure("  median age in the second half", "ms", _value(LIVE, "median_second_half_ms")),
    Figure("  start to first prediction", "s", _value(LIVE, "start_to_first_prediction_s")),
    Figure("  neither Holistic nor drawing", "% of processor time", _other_share(LIVE)),
    Figure(CLASSIFIER, "ms", _value(CLASSIFIER, "p50_ms")),
)


def services(title: str, run: dict[str, Any]) -> Table:
    """Processor time, memory and losses by service, of one run."""
    table = Table("service", "ms of processor time a frame", "share", "memory MB", "missed", "dropped", title=title)
    total = sum(row["cpu_ms"] for row in run["services"].values())
    for name, row in sorted(run["services"].items(), key=lambda item: -item[1]["cpu_ms"]):
        shown = (f"{row['cpu_ms']:.2f}", f"{100 * row['cpu_ms'] / total:.1f} %", f"{row['memory_mb']:.0f}")
        table.add_row(name, *shown, str(row["missed"]), str(row["dropped"]))
    return table


def one_round(clip: Path, folder: Path, live_s: float, console: Console) -> dict[str, Any]:
    """Everything once; what is compared with each other is measured one after the other."""
    live = {"camera__live": "true", "camera__loop": "true", "camera__seconds": live_s}
    steps = {
        NOTEBOOK: lambda: loops("notebook", clip),
        FILE: lambda: whole(clip, folder / "file", 2),
        BARE_2: lambda: loops("bare", clip, 2),
        VIEWER: lambda: whole(clip, folder / "viewer", 2, viewer=True),
        VIDEO: lambda: whole(clip, folder / "video", 2, video=True),
        BARE_1: lambda: loops("bare", clip),
        PACED: lambda: loops("paced", clip),
        LIVE: lambda: whole(clip, folder / "live", 1, **live),
        CLASSIFIER: lambda: loops("classifier", MODEL),
    }
    measured = {}
    for step, measure in steps.items():
        console.print(f"measuring: {step} ...")
        measured[step] = measure()
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--clip", type=Path, help="a video with a person in view; without it the test card")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--rounds", type=int, default=3, help="measure all so often and take medians (3)")
    parser.add_argument("--frames", type=int, default=600, help="length of the clip, which is repeated (600)")
    parser.add_argument("--live-seconds", type=float, default=30, help="length of the live run (30)")
    options = parser.parse_args()
    if options.clip and not cv2.VideoCapture(str(options.clip)).isOpened():
        sys.exit(f"{options.clip} is not a video that can be decoded.")
    console = Console()
    with tempfile.TemporaryDirectory() as name:
        clip = prepare(options.clip, options.frames, Path(name))
        rounds = []
        for number in range(options.rounds):
            folder = Path(name, str(number))
            folder.mkdir()
            rounds.append(one_round(clip, folder, options.live_seconds, console))
    table = Table("what", "median", "each round", title=f"{machine()}, {datetime.now(timezone.utc):%Y-%m-%d}")
    for figure in FIGURES:
        table.add_row(*figure.row(rounds))
    console.print(table)
    for step in (FILE, LIVE):
        console.print(services(f"{step}, last round", rounds[-1][step]))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "rounds": rounds}, indent=2) + "\n")


def machine() -> str:
    """The processor and the number of its cores that are ours."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.machine()}, {os.cpu_count()} cores"


if __name__ == "__main__":
    main()
