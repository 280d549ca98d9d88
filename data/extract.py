"""Videos in, a data set of their keypoints out, by as many processes as there are cores.

    python -m data.extract clips/push_up --out data/push_up

Videos, or folders of pictures, lie in folders by label, or a .csv lists them: see data/extraction/videos.py. What
became of each is a line of extract.jsonl in the data set; by it a run that was cut off goes on where it was.
"""

import argparse
import os
from pathlib import Path

from rich.console import Console

from common.errors import command
from common.video.sources import DEFAULT_FPS
from data.extraction.run import extract


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m data.extract", description=__doc__.splitlines()[0])
    parser.add_argument(
        "source",
        type=Path,
        help="a folder of videos, or of folders of pictures, by label; a .csv list of them; a video",
    )
    parser.add_argument("--out", type=Path, required=True, help="the data set to make or to add to")
    cores = os.cpu_count() or 1
    parser.add_argument("--workers", type=int, default=cores, help=f"processes (one a core: {cores})")
    parser.add_argument("--fps", type=float, default=DEFAULT_FPS, help=f"of folders of pictures ({DEFAULT_FPS:g})")
    arguments = parser.parse_args()
    if arguments.workers < 1:
        parser.error("--workers must be at least 1")
    if not 0 < arguments.fps <= 1000:
        parser.error("--fps must be above 0, and 1000 at most")
    with command("Interrupted: what is finished is kept, and the same command goes on from there."):
        extract(arguments.source, arguments.out, arguments.workers, Console(), arguments.fps)


if __name__ == "__main__":
    main()
