"""Extract the keypoints of videos into a data set, on all cores; resumable.

    python -m data.extract clips/push_up --out datasets/push_up

Videos, or folders of images, lie in folders by label, or a .csv lists them: see data/extraction/videos.py. The data
set's extract.jsonl has a line per video with its outcome, by which an interrupted run resumes.
"""

import argparse
import os
from pathlib import Path

from rich.console import Console

from common.errors import command
from common.video.sources import DEFAULT_FPS
from data.extraction.run import extract


def main() -> None:
    """The command `python -m data.extract`."""
    parser = argparse.ArgumentParser(prog="python -m data.extract", description=__doc__.splitlines()[0])
    parser.add_argument(
        "source",
        type=Path,
        help="a folder of videos, or of folders of images, by label; a .csv list of them; a video",
    )
    parser.add_argument("--out", type=Path, required=True, help="the data set to create or to add to")
    cores = os.cpu_count() or 1
    parser.add_argument("--workers", type=int, default=cores, help=f"processes (one per core: {cores})")
    parser.add_argument("--fps", type=float, default=DEFAULT_FPS, help=f"of folders of images ({DEFAULT_FPS:g})")
    arguments = parser.parse_args()
    if arguments.workers < 1:
        parser.error("--workers must be at least 1")
    if not 0 < arguments.fps <= 1000:
        parser.error("--fps must be above 0, and 1000 at most")
    with command("Interrupted: finished videos are kept, and the same command resumes."):
        extract(arguments.source, arguments.out, arguments.workers, Console(), arguments.fps)


if __name__ == "__main__":
    main()
