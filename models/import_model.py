"""A model that somebody else trained in, a model folder out.

    python -m models.import_model action.h5 --labels hello,thanks,iloveyou --out models/theirs

Takes .h5 and .keras files of Keras 2 and 3, and .onnx files, whose windows have any length. What the numbers of a frame
are is guessed by how many there are: 1662, 258 (pose and hands), 132 (pose) or 126 (hands); --layout says it where they
are others, such as right_hand,left_hand,pose. A file that could run code of its own is refused.
"""

import argparse
import hashlib
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Final, get_args

import numpy as np

from common.errors import UserError, command
from common.keypoints.features import HOLDS, Features, Part, raw_of, size
from common.keypoints.landmarks import LAYOUT, SHAPES, VECTORS
from common.labels import checked_label
from common.recognition.classifier import Card, Classifier, WindowShape, weights_of
from common.recognition.decision import Parameters
from models.storage.folder import write_card, written
from models.storage.importer import Facts, rewrite

PARTS: Final = tuple(part for part in get_args(Part) if part in (*SHAPES, *HOLDS))


def adopt(
    file: Path,
    out: Path,
    labels: list[str],
    idle: list[str],
    fps: float | None,
    length: int | None,
    layout: tuple[Part, ...] = (),
) -> Card:
    """The model folder `out` with the network of `file`; raises UserError.

    idle: which labels mean "nothing". fps: rate of the recordings it was trained on; None: frames as they come.
    length: frames in a window, needed only where the network takes any number. layout: the parts that a frame's numbers
    are of, one after the other; by default they are guessed.
    """
    _check_labels(labels, idle)
    _check_layout(layout)
    with written(out) as draft:
        said = Features(kind="raw", parts=layout) if layout else None
        facts = rewrite(file, draft, size(said) if said else None)
        card = Card(
            layout=LAYOUT,
            labels=labels,
            idle=idle,
            window=WindowShape(length=_agreed(file, facts, labels, length), fps=fps),
            features=said or _guessed(file, facts.size),
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
        _check_runs(file, draft)
    return card


def _check_labels(labels: Sequence[str], idle: Sequence[str]) -> None:
    for label in labels:
        checked_label(label)
    if len(labels) < 2 or len(set(labels)) != len(labels):
        raise UserError(f"--labels {','.join(labels)} will not do: name two or more, all different.")
    if strangers := set(idle) - set(labels):
        raise UserError(f"--idle {','.join(sorted(strangers))} is not one of the labels {','.join(labels)}.")


def _check_layout(layout: Sequence[Part]) -> None:
    held = [one for part in layout for one in HOLDS.get(part, (part,))]
    if len(set(held)) < len(held):
        raise UserError(f"--layout {','.join(layout)} names the same numbers twice: name each part once.")


def _agreed(file: Path, facts: Facts, labels: Sequence[str], length: int | None) -> int:
    """Frames in a window; raises UserError where the network is not what was said."""
    if facts.labels != len(labels):
        raise UserError(f"{file} tells {facts.labels} labels apart, --labels names {len(labels)}: name them all.")
    if facts.length and length not in (None, facts.length):
        raise UserError(f"{file} takes windows of {facts.length} frames, --length says {length}.")
    agreed = facts.length or length
    if not agreed:
        raise UserError(f"{file} takes windows of any number of frames: say how many by --length.")
    return agreed


def _check_runs(file: Path, folder: Path) -> None:
    """Raises UserError naming `file`: what does not run is not adopted."""
    try:
        Classifier(folder)
    except UserError as error:
        raise UserError(str(error).replace(str(weights_of(folder)), str(file))) from error


def _guessed(file: Path, numbers: int) -> Features:
    """What so many numbers most often are; raises UserError for a number that nobody has."""
    if numbers not in VECTORS:
        known = ", ".join(map(str, VECTORS))
        raise UserError(
            f"{file} takes frames of {numbers} numbers; known are {known}, and what --layout can name: {_sizes()}."
        )
    return raw_of(numbers)


def _sizes(parts: Sequence[Part] = PARTS) -> str:
    """Parts, each with its numbers."""
    return ", ".join(f"{part} ({size(Features(kind='raw', parts=(part,)))})" for part in parts)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _layout(text: str) -> tuple[str, ...]:
    parts = _names(text)
    if strangers := [part for part in parts if part not in PARTS]:
        raise argparse.ArgumentTypeError(f"{strangers[0]!r} is none of {', '.join(PARTS)}")
    return tuple(parts)


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number <= 1000:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1000")
    return number


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m models.import_model", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the .h5, .keras or .onnx file")
    parser.add_argument("--labels", type=_names, required=True, help="in the network's order, such as hello,thanks")
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    parser.add_argument("--idle", type=_names, default=[], help="those of them that mean that nothing happens")
    parser.add_argument("--fps", type=_positive, help="rate of the recordings it was trained on (as they come)")
    parser.add_argument("--length", type=int, help="frames in a window, for a network that takes any number")
    parser.add_argument("--layout", type=_layout, help=f"what a frame's numbers are, in their order: {_sizes()}")
    asked = parser.parse_args()
    with command("Interrupted: nothing was written."):
        card = adopt(asked.file, asked.out, asked.labels, asked.idle, asked.fps, asked.length, asked.layout or ())
    print(f"{asked.out}: {card.architecture}; windows of {card.window.length} frames of {size(card.features)} numbers.")
    taken, why = _sizes(card.features.parts), "" if asked.layout else " by their count; say --layout if they are others"
    print(f"The numbers of a frame are taken as {taken}{why}.")


if __name__ == "__main__":
    main()
