"""Import a network that another project trained: write a model folder for it."""

import hashlib
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Final, get_args

import numpy as np

from common.errors import UserError
from common.keypoints.features import HOLDS, Features, Part, raw_of, size
from common.keypoints.landmarks import LAYOUT, SHAPES, VECTORS
from common.labels import checked_label
from common.recognition.classifier import Card, Classifier, WindowShape, weights_of
from common.recognition.decision import Parameters
from models.storage.conversion import Facts, rewrite
from models.storage.folder import write_card, written

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
            f"{file} takes frames of {numbers} numbers; known are {known}, and what --layout can name: {sizes()}."
        )
    return raw_of(numbers)


def sizes(parts: Sequence[Part] = PARTS) -> str:
    """Parts, each with its numbers."""
    return ", ".join(f"{part} ({size(Features(kind='raw', parts=(part,)))})" for part in parts)
