"""Convert a data set to another format, atomically.

    python -m data.convert datasets/mine out/MP_Data --to mp_data

The result is read back and compared before it gets its name: every label, subject, stream, rate, capture time and
number is equal (numbers as float32, which is what MediaPipe gives).
"""

import argparse
import logging
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.progress import Progress

from common.errors import UserError, command
from common.recording.dataset_writer import MANIFEST
from common.recording.sequence import KeypointSequence
from data import dataset
from data.formats import npy, npz, parquet, pose, table

WRITERS: Final = {
    "native": npz.write,
    "mp_data": npy.write_frames,
    "npy": npy.write_sequences,
    "csv": table.write,
    "pose": pose.write,
    "parquet": parquet.write,
}
console = Console(stderr=True)


def convert(source: Path, target: Path, target_format: str, fps: float) -> list[KeypointSequence]:
    """Write a data set in another format, and return its sequences.

    Args:
        source: a data set in any format that data/dataset.py reads.
        target: does not exist yet, or is an empty folder.
        target_format: a key of WRITERS.
        fps: the rate of recordings that state none.

    Raises:
        UserError: the source cannot be read, the target cannot be written, or would not be equal; nothing is written.
    """
    target = Path(os.path.abspath(target))
    try:
        _check_target(target, target_format)
        with console.status(f"reading {source}"):
            sequences = dataset.read(source, fps)
        with tempfile.TemporaryDirectory(prefix=".converting-", dir=target.parent) as scratch:
            draft = Path(scratch) / target.name
            _write(draft, sequences, target_format)
            _check_same(sequences, draft, fps)
            draft.replace(target)
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror or error}.") from error
    return sequences


def _check_target(target: Path, target_format: str) -> None:
    if target_format == "csv" and target.suffix != ".csv":
        raise UserError(f"{target} would be one table: give it a name that ends in .csv.")
    if os.path.lexists(target) and not (target.is_dir() and not any(target.iterdir())):
        raise UserError(f"{target} is there already: choose another name, or remove it.")


def _write(draft: Path, sequences: list[KeypointSequence], target_format: str) -> None:
    current = "The data set"

    def tracked() -> Iterator[KeypointSequence]:
        nonlocal current
        for number, sequence in enumerate(progress.track(sequences, description=f"writing {target_format}"), start=1):
            current = f"Sequence {number} ({sequence.label[:60]!r} by {sequence.subject[:60]!r})"
            yield sequence

    try:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            WRITERS[target_format](draft, tracked())
    except OSError as error:
        raise UserError(f"{current} cannot be written: {error.strerror or error}.") from error
    except UserError as error:
        raise UserError(f"{current} cannot be written: {error}") from error


def _check_same(before: list[KeypointSequence], draft: Path, fps: float) -> None:
    """Compare by label, since folders of labels are read in the order of their names."""
    try:
        with console.status("reading back"):
            after = dataset.read(draft, fps)
    except UserError as error:
        raise UserError(f"What was written cannot be read back and was removed: {error}") from error
    if len(before) != len(after):
        raise UserError(f"{len(before)} sequences were written, {len(after)} read back: do labels differ only in case?")
    pairs = zip(*(sorted(sequences, key=lambda one: one.label) for sequences in (before, after)), strict=True)
    for one, other in pairs:
        for field in KeypointSequence._fields:
            if not np.array_equal(getattr(one, field), getattr(other, field)):
                raise UserError(f"{field} of a sequence of {one.label!r} would be lost in this format: choose another.")


def _rate(text: str) -> float:
    rate = float(text)
    if not 0 < rate < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no rate")
    return rate


def main() -> None:
    """The command `python -m data.convert`."""
    parser = argparse.ArgumentParser(
        prog="python -m data.convert", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, metavar="SRC", help="a data set in any format; see data/dataset.py")
    parser.add_argument("target", type=Path, metavar="DST", help="what to write: a new file or folder, or an empty one")
    parser.add_argument("--to", required=True, choices=WRITERS, metavar="FORMAT", help=" | ".join(WRITERS))
    parser.add_argument("--fps", type=_rate, default=25.0, help="frames/s of recordings that state no rate (25)")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    with command("Interrupted: nothing was written."):
        sequences = convert(arguments.source, arguments.target, arguments.to, arguments.fps)
    frames, labels = sum(len(one.keypoints) for one in sequences), len({one.label for one in sequences})
    print(f"{arguments.target}: {len(sequences)} sequences, {frames} frames, {labels} labels.")
    print("Read back and compared: all is equal, numbers as float32.")
    if (arguments.source / MANIFEST).exists():
        print("Not converted: the names of the files, and the manifest's origins and issues.")


if __name__ == "__main__":
    main()
