"""A data set in any layout in, the same in another layout out, whole or not at all.

    python -m data.convert data/mine out/MP_Data --to mp_data

What was written is read back and compared before it gets its name: every label, recorder, stream, rate, capture time
and number is as it was (numbers as float32, which is what MediaPipe gives).
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
    "dataset": npz.write,
    "mp_data": npy.write_frames,
    "files": npy.write_sequences,
    "csv": table.write,
    "pose": pose.write,
    "parquet": parquet.write,
}
console = Console(stderr=True)


def convert(source: Path, target: Path, layout: str, fps: float) -> list[KeypointSequence]:
    """Write the data set `source` to `target`, which is not there yet or an empty folder; raises UserError."""
    target = Path(os.path.abspath(target))
    try:
        _check_target(target, layout)
        with console.status(f"reading {source}"):
            sequences = dataset.read(source, fps)
        with tempfile.TemporaryDirectory(prefix=".converting-", dir=target.parent) as scratch:
            draft = Path(scratch) / target.name
            _write(draft, sequences, layout)
            _check_same(sequences, draft, fps)
            draft.replace(target)
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror or error}.") from error
    return sequences


def _check_target(target: Path, layout: str) -> None:
    if layout == "csv" and target.suffix != ".csv":
        raise UserError(f"{target} would be one table: give it a name that ends in .csv.")
    if os.path.lexists(target) and not (target.is_dir() and not any(target.iterdir())):
        raise UserError(f"{target} is there already: choose another name, or remove it.")


def _write(draft: Path, sequences: list[KeypointSequence], layout: str) -> None:
    shown = "The data set"

    def watched() -> Iterator[KeypointSequence]:
        nonlocal shown
        for number, sequence in enumerate(progress.track(sequences, description=f"writing {layout}"), start=1):
            shown = f"Sequence {number} ({sequence.label[:60]!r} by {sequence.subject[:60]!r})"
            yield sequence

    try:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            WRITERS[layout](draft, watched())
    except OSError as error:
        raise UserError(f"{shown} cannot be written: {error.strerror or error}.") from error
    except UserError as error:
        raise UserError(f"{shown} cannot be written: {error}") from error


def _check_same(before: list[KeypointSequence], draft: Path, fps: float) -> None:
    """Compared by label, since folders of labels are read in the order of their names."""
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
                raise UserError(f"{field} of a sequence of {one.label!r} would be lost in this layout: choose another.")


def _rate(text: str) -> float:
    rate = float(text)
    if not 0 < rate < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no rate")
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m data.convert", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, metavar="SRC", help="a data set in any layout; see data/dataset.py")
    parser.add_argument("target", type=Path, metavar="DST", help="what to write: not there yet, or an empty folder")
    parser.add_argument("--to", required=True, choices=WRITERS, metavar="LAYOUT", help=" | ".join(WRITERS))
    parser.add_argument("--fps", type=_rate, default=25.0, help="rate of recordings that do not say theirs (25)")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    with command("Interrupted: nothing was written."):
        sequences = convert(arguments.source, arguments.target, arguments.to, arguments.fps)
    frames, labels = sum(len(one.keypoints) for one in sequences), len({one.label for one in sequences})
    print(f"{arguments.target}: {len(sequences)} sequences, {frames} frames, {labels} labels.")
    print("All was read back and is equal, numbers as float32.")
    if (arguments.source / MANIFEST).exists():
        print("Left behind: the names of the files, and what the manifest says of their origins and flaws.")


if __name__ == "__main__":
    main()
