"""Measures the pipeline against the notebook's loop and bare Holistic, all on one clip in one run.

    python -m tests.bench --clip clip.mp4 --json bench.json

Prints a table; figures that matter are the ratios. Without --clip the test card is shown.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from common.messages import Prediction, Status
from common.testcard import TestCard
from tests.pipeline import collect, pipeline

FPS = 25.0
LIMIT_S = 900


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


def loops(kind: str, clip: Path, processes: int = 1) -> dict[str, float]:
    """Frames/s of all processes together, the other figures of one."""
    command = [sys.executable, "-m", "tests.bench.loops", kind, str(clip)]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(processes)
    ]
    results = [json.loads(process.communicate(timeout=LIMIT_S)[0]) for process in started]
    return {
        "frames_per_s": sum(result["frames_per_s"] for result in results),
        **{key: float(np.mean([r[key] for r in results])) for key in ("cpu_ms", "p50_ms", "p95_ms")},
    }


def whole(clip: Path, folder: Path, keypoints: int, viewer: bool = False, **settings: object) -> dict[str, Any]:
    """The Procfile with a logger; frames/s and ages from predictions, processor time from the services' reports."""
    folder.mkdir()
    arrivals, statuses, began_s = [], [], time.monotonic()
    if viewer:
        settings["overlay__video"] = folder / "overlay.mp4"
    with pipeline(
        folder,
        keypoints=keypoints,
        without=() if viewer else ("overlay",),
        camera__source=clip,
        logger__out=folder / "out",
        **settings,
    ) as running:
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
        "services": _services(statuses, first_ns, last_ns, arrivals[-1][1].seq - arrivals[0][1].seq),
    }


def _services(statuses: list[tuple[int, Status]], first_ns: int, last_ns: int, frames: int) -> dict[str, Any]:
    """By service: processor time a frame while predictions flowed, highest memory, missed and dropped."""
    processes: dict[str, list[tuple[int, Status]]] = {}
    for arrived_ns, status in statuses:
        if first_ns <= arrived_ns <= last_ns:
            processes.setdefault(status.stream, []).append((arrived_ns, status))
    services: dict[str, Any] = {}
    for reports in processes.values():
        (begun_ns, begun), (ended_ns, ended) = reports[0], reports[-1]
        if ended_ns == begun_ns:
            continue
        share = (last_ns - first_ns) / (ended_ns - begun_ns)
        row = services.setdefault(ended.service, {"cpu_ms": 0.0, "memory_mb": 0.0, "missed": 0, "dropped": 0})
        row["cpu_ms"] += 1000 * (ended.cpu_s - begun.cpu_s) * share / frames
        row["memory_mb"] += max(status.memory_mb for _, status in reports)
        row["missed"] += ended.missed
        row["dropped"] += ended.dropped
    return services


def figures(measured: dict[str, Any]) -> list[tuple[str, str]]:
    """The rows of the table: what, and how much."""
    loop, bare1, bare2 = measured["notebook"], measured["bare, 1 process"], measured["bare, 2 processes"]
    rows = [("notebook's loop", f"{loop['frames_per_s']:.1f} frames/s")]
    for name in ("bare, 1 process", "bare, 2 processes"):
        row = measured[name]
        rows.append(
            (f"Holistic {name}", f"{row['frames_per_s']:.1f} frames/s, {row['cpu_ms']:.1f} ms of processor time")
        )
    for name in ("file, 2 keypoints", "file, 2 keypoints, viewer"):
        fps = measured[name]["frames_per_s"]
        rows.append((name, f"{fps:.1f} frames/s"))
        rows.append(("  of 2 bare Holistics", f"{fps / bare2['frames_per_s']:.2f}"))
        rows.append(("  times the notebook's loop", f"{fps / loop['frames_per_s']:.2f}"))
    live = measured["live, 1 keypoints"]
    rows += [
        ("live at 25 frames/s, 1 keypoints", f"{live['frames_per_s']:.1f} predictions/s"),
        ("  capture to prediction, p50 / p95", f"{live['p50_ms']:.1f} / {live['p95_ms']:.1f} ms"),
        ("  p95 over Holistic's own p95", f"{live['p95_ms'] / bare1['p95_ms']:.2f}"),
        (
            "  median age, first and second half",
            f"{live['median_first_half_ms']:.1f}, {live['median_second_half_ms']:.1f} ms",
        ),
        ("  start to first prediction", f"{live['start_to_first_prediction_s']:.1f} s"),
    ]
    return rows


def services(title: str, run: dict[str, Any]) -> Table:
    table = Table("service", "ms of processor time a frame", "share", "memory MB", "missed", "dropped", title=title)
    total = sum(row["cpu_ms"] for row in run["services"].values())
    for name, row in sorted(run["services"].items(), key=lambda item: -item[1]["cpu_ms"]):
        shown = (f"{row['cpu_ms']:.2f}", f"{100 * row['cpu_ms'] / total:.1f} %", f"{row['memory_mb']:.0f}")
        table.add_row(name, *shown, str(row["missed"]), str(row["dropped"]))
    other = sum(row["cpu_ms"] for name, row in run["services"].items() if name not in ("keypoints", "overlay"))
    table.caption = f"neither Holistic nor drawing: {100 * other / total:.1f} %"
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--clip", type=Path, help="a video with a person in view; without it the test card")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--frames", type=int, default=900, help="length of the clip, which is repeated (900)")
    parser.add_argument("--live-seconds", type=float, default=60, help="length of the live run (60)")
    options = parser.parse_args()
    if options.clip and not cv2.VideoCapture(str(options.clip)).isOpened():
        sys.exit(f"{options.clip} is not a video that can be decoded.")
    console, measured = Console(), {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = prepare(options.clip, options.frames, folder)
        steps = {
            "notebook": lambda: loops("notebook", clip),
            "bare, 1 process": lambda: loops("bare", clip),
            "bare, 2 processes": lambda: loops("bare", clip, 2),
            "file, 2 keypoints": lambda: whole(clip, folder / "file", 2),
            "file, 2 keypoints, viewer": lambda: whole(clip, folder / "viewer", 2, viewer=True),
            "live, 1 keypoints": lambda: whole(
                clip, folder / "live", 1, camera__live="true", camera__loop="true", camera__seconds=options.live_seconds
            ),
        }
        for step, measure in steps.items():
            console.print(f"measuring: {step} ...")
            measured[step] = measure()
    table = Table(
        "what", "measured", title=f"{platform.processor() or platform.machine()}, {datetime.now(timezone.utc):%Y-%m-%d}"
    )
    for row in figures(measured):
        table.add_row(*row)
    console.print(table)
    for step in ("file, 2 keypoints", "live, 1 keypoints"):
        console.print(services(step, measured[step]))
    if options.json:
        options.json.write_text(json.dumps(measured, indent=2) + "\n")


if __name__ == "__main__":
    main()
