"""Make a labelled data set from the test card.

    python -m data.testcard --out datasets/testcard --seeds 101-108 --seconds 60

A sequence is one movement, or a stretch of idling, with half a window before and after it, so that the center of every
window cut from it lies within the labelled time.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from common.errors import UserError, command
from common.recording.dataset_writer import DatasetWriter
from data.extraction.testcard import record


def _seeds(text: str) -> list[int]:
    first, _, last = text.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    if not seeds:
        raise argparse.ArgumentTypeError(f"{text} is an empty range: write it as 101-108")
    return list(seeds)


def main() -> None:
    """The command `python -m data.testcard`."""
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
    with DatasetWriter(arguments.out) as writer, ProcessPoolExecutor(arguments.workers) as pool:
        cards = pool.map(record, arguments.seeds, [arguments.seconds] * len(arguments.seeds))
        for seed, sequences in zip(arguments.seeds, cards, strict=True):
            for number, sequence in enumerate(sequences):
                writer.add(f"{seed}-{number:03d}", sequence, origin=f"test card {seed}")
            print(f"card {seed}: {len(sequences)} sequences")


if __name__ == "__main__":
    main()
