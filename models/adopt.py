"""A model that somebody else trained in, a model folder out.

    python -m models.adopt action.h5 --labels hello,thanks,iloveyou --out models/theirs

Takes .h5 and .keras files of Keras 2 and 3, and .onnx files, whose windows have any length and vectors of 1662, 258,
132 or 126 numbers. A file that could run code of its own is refused.
"""

import argparse
import hashlib
import platform
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.classifier import Card, Classifier, WindowShape
from common.decision import Parameters
from common.errors import UserError, command
from common.features import raw_of, size
from common.landmarks import LAYOUT, SIZE, VECTORS
from common.sequence import checked_label
from models.folder import write_card, written
from models.foreign import Facts, rewrite


def adopt(file: Path, out: Path, labels: list[str], idle: list[str], fps: float | None, length: int | None) -> Card:
    """The model folder `out` with the network of `file`; raises UserError.

    idle: which labels mean "nothing". fps: rate of the recordings it was trained on; None: frames as they come.
    length: frames in a window, needed only where the network takes any number.
    """
    _check_labels(labels, idle)
    with written(out) as draft:
        facts = rewrite(file, draft)
        card = Card(
            layout=LAYOUT,
            labels=labels,
            idle=idle,
            window=WindowShape(length=_agreed(file, facts, labels, length), fps=fps),
            features=raw_of(facts.size or SIZE),
            decision=Parameters(),
            architecture=facts.architecture,
            parameters=facts.parameters,
            data={"adopted": file.name, "file_sha256": hashlib.sha256(file.read_bytes()).hexdigest()},
            metrics={},
            seed=0,
            versions={"python": platform.python_version(), "numpy": np.__version__},
            commit="unknown",
            trained="unknown",
        )
        write_card(draft, card)
        Classifier(draft)  # what does not run is not adopted
    return card


def _check_labels(labels: Sequence[str], idle: Sequence[str]) -> None:
    for label in labels:
        checked_label(label)
    if len(labels) < 2 or len(set(labels)) != len(labels):
        raise UserError(f"--labels {','.join(labels)} will not do: name two or more, all different.")
    if strangers := set(idle) - set(labels):
        raise UserError(f"--idle {','.join(sorted(strangers))} is not one of the labels {','.join(labels)}.")


def _agreed(file: Path, facts: Facts, labels: Sequence[str], length: int | None) -> int:
    """Frames in a window; raises UserError where the network is not what was said, or not for our vectors."""
    if facts.labels != len(labels):
        raise UserError(f"{file} tells {facts.labels} labels apart, --labels names {len(labels)}: name them all.")
    if facts.size not in (None, *VECTORS):
        known = ", ".join(map(str, VECTORS))
        raise UserError(f"{file} takes frames of {facts.size} numbers; known are {known}.")
    if facts.length and length not in (None, facts.length):
        raise UserError(f"{file} takes windows of {facts.length} frames, --length says {length}.")
    agreed = facts.length or length
    if not agreed:
        raise UserError(f"{file} takes windows of any number of frames: say how many by --length.")
    return agreed


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number <= 1000:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1000")
    return number


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m models.adopt", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the .h5, .keras or .onnx file")
    parser.add_argument("--labels", type=_names, required=True, help="in the network's order, such as hello,thanks")
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    parser.add_argument("--idle", type=_names, default=[], help="those of them that mean that nothing happens")
    parser.add_argument("--fps", type=_positive, help="rate of the recordings it was trained on (as they come)")
    parser.add_argument("--length", type=int, help="frames in a window, for a network that takes any number")
    arguments = parser.parse_args()
    with command("Interrupted: nothing was written."):
        card = adopt(arguments.file, arguments.out, arguments.labels, arguments.idle, arguments.fps, arguments.length)
    shape = f"windows of {card.window.length} frames of {size(card.features)} numbers"
    print(f"{arguments.out}: {card.architecture}; {shape}.")


if __name__ == "__main__":
    main()
