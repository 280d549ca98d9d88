"""Measure what two extractors on one stream cost: steadiness, and distance to one Holistic that smooths by itself.

    python -m tests.bench.sharing clip.mp4 folder_of_clips

Every clip runs through the hub with one extractor and with two. Jitter is the mean length of the second
difference of the landmarks over time; distance the median to `solutions.holistic` on the same frames; pixels.
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import common.keypoints.holistic  # noqa: F401  MediaPipe without tensorflow
from common.keypoints.landmarks import MIN_VISIBILITY, PARTS, flatten, split
from tests.pipeline import collect, pipeline

KINDS = ("one Holistic, smoothed", "one extractor", "two extractors")
VISIBLE = "pose, visible points"  # of a person cut off at the hips MediaPipe guesses the legs
ROWS = (*PARTS, VISIBLE)
LIMIT_S = 120


def reference(clip: Path) -> NDArray[np.float32]:
    """One graph with MediaPipe's own smoothing, all frames: (frames, 1662)."""
    from mediapipe.python.solutions import holistic

    capture, vectors = cv2.VideoCapture(str(clip)), []
    with holistic.Holistic() as graph:
        while (decoded := capture.read())[0]:
            found, parts = graph.process(cv2.cvtColor(decoded[1], cv2.COLOR_BGR2RGB)), {}
            for part in PARTS:
                if points := getattr(found, f"{part}_landmarks"):
                    fields = ("x", "y", "z", "visibility") if part == "pose" else ("x", "y", "z")
                    parts[part] = np.array([[getattr(p, name) for name in fields] for p in points.landmark], np.float32)
            vectors.append(flatten(parts))
    return np.stack(vectors)


def shared(clip: Path, keypoints: int) -> NDArray[np.float32]:
    """The keypoints topic of a pipeline with so many extractors: (frames, 1662)."""
    with tempfile.TemporaryDirectory() as name:
        others = ("windows", "inference", "overlay", "logger")
        with pipeline(Path(name), keypoints=keypoints, without=others, camera__source=clip) as running:
            arrived = collect(running, ["keypoints"], LIMIT_S)
            return np.stack([vector for _, (header, vector) in arrived if not header.end_of_stream])


def positions(vectors: NDArray[np.float32], part: str, size: tuple[float, float]) -> NDArray[np.float32]:
    """(frames, points, 2) in pixels, nan where the part, or of the visible pose the point, was not seen."""
    points = split(vectors)["pose" if part == VISIBLE else part]
    pixels = points[..., :2] * np.array(size, np.float32)
    pixels[~points.any(axis=(1, 2))] = np.nan
    if part == VISIBLE:
        pixels[points[..., 3] < MIN_VISIBILITY] = np.nan
    return pixels


def jitter(points: NDArray[np.float32]) -> float:
    return float(np.nanmean(np.linalg.norm(np.diff(points, 2, axis=0), axis=-1)))


def distance(points: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    return float(np.nanmedian(np.linalg.norm(points - others, axis=-1)))


def measure(clip: Path) -> dict[tuple[str, str], tuple[float, float]]:
    """(kind, part) -> jitter and distance, of the parts that are seen in the clip at all."""
    capture = cv2.VideoCapture(str(clip))
    size = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
    runs = dict(zip(KINDS, (reference(clip), shared(clip, 1), shared(clip, 2)), strict=True))
    metrics = {}
    for part in ROWS:
        points = {kind: positions(vectors, part, size) for kind, vectors in runs.items()}
        if all(np.isfinite(np.diff(values, 2, axis=0)).any() for values in points.values()):
            for kind, values in points.items():
                metrics[kind, part] = jitter(values), distance(values, points[KINDS[0]])
    return metrics


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.sharing", description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, nargs="+", help="videos, or folders of .mp4")
    parser.add_argument("--repeats", type=int, default=1, help="measure every clip so often (1): sharing varies")
    options, console = parser.parse_args(), Console()
    clips = [clip for path in options.clips for clip in (sorted(path.glob("*.mp4")) if path.is_dir() else [path])]
    measured = []
    for clip in clips * options.repeats:
        console.print(f"measuring: {clip.name} ...")
        measured.append(measure(clip))
    table = Table("part", "clips", *KINDS, "two against one", title="jitter and distance, pixels, mean over clips")
    for part in ROWS:
        found = [metrics for metrics in measured if (KINDS[0], part) in metrics]
        if found:
            means = [np.mean([metrics[kind, part] for metrics in found], axis=0) for kind in KINDS]
            cells = [f"{mean[0]:.2f}, {mean[1]:.2f}" for mean in means]
            table.add_row(part, str(len(found)), *cells, f"{100 * (means[2][0] / means[1][0] - 1):+.0f} %")
    console.print(table)


if __name__ == "__main__":
    main()
