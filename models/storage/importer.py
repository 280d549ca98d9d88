"""Import a network that another project trained: write a model folder for it."""

import hashlib
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Final, get_args

import numpy as np

from common.errors import UserError
from common.keypoints.features import HOLDS, Features, Part, raw_of, size
from common.keypoints.landmarks import LAYOUT, SHAPES, VECTOR_SIZES
from common.labels import checked_label
from common.recognition.classifier import Classifier, ModelCard, WindowSpec, weights_of
from common.recognition.decision import Parameters
from models.storage.conversion import NetworkInfo, convert
from models.storage.folder import new_model_folder, write_card

PARTS: Final = tuple(part for part in get_args(Part) if part in (*SHAPES, *HOLDS))


def import_model(
    file: Path,
    out: Path,
    labels: list[str],
    idle: list[str],
    fps: float | None,
    length: int | None,
    layout: tuple[Part, ...] = (),
) -> ModelCard:
    """Write the model folder `out` for the network of `file`, and return its card; raises UserError.

    idle: the labels that mean that no action is performed. fps: frame rate of the recordings it was trained on; None:
    frames as they come. length: frames in a window, needed only where the network takes any number. layout: the parts
    of a frame's vector, in order; by default they are detected by its size.
    """
    _check_labels(labels, idle)
    _check_layout(layout)
    with new_model_folder(out) as draft:
        named = Features(kind="raw", parts=layout) if layout else None
        network = convert(file, draft, size(named) if named else None)
        card = ModelCard(
            layout=LAYOUT,
            labels=labels,
            idle=idle,
            window=WindowSpec(length=_window_length(file, network, labels, length), fps=fps),
            features=named or _guess_features(file, network.size),
            decision=Parameters(),
            layers=network.layers,
            parameters=network.parameters,
            data={"imported_from": file.name, "file_sha256": hashlib.sha256(file.read_bytes()).hexdigest()},
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
        raise UserError(f"--labels {','.join(labels)} is not valid: name two or more, all different.")
    if unknown := set(idle) - set(labels):
        raise UserError(f"--idle {','.join(sorted(unknown))} is not one of the labels {','.join(labels)}.")


def _check_layout(layout: Sequence[Part]) -> None:
    parts = [one for part in layout for one in HOLDS.get(part, (part,))]
    if len(set(parts)) < len(parts):
        raise UserError(f"--layout {','.join(layout)} names the same numbers twice: name each part once.")


def _window_length(file: Path, network: NetworkInfo, labels: Sequence[str], length: int | None) -> int:
    """Return the frames in a window; raises UserError where options contradict the network."""
    if network.labels != len(labels):
        raise UserError(f"{file} has {network.labels} labels, --labels names {len(labels)}: name them all.")
    if network.length and length not in (None, network.length):
        raise UserError(
            f"{file} takes windows of {network.length} frames, --window-length says {length}: leave the option out."
        )
    length = network.length or length
    if not length:
        raise UserError(f"{file} takes windows of any number of frames: give their number by --window-length.")
    return length


def _check_runs(file: Path, folder: Path) -> None:
    """Raise UserError naming `file` if the converted network does not run."""
    try:
        Classifier(folder)
    except UserError as error:
        raise UserError(str(error).replace(str(weights_of(folder)), str(file))) from error


def _guess_features(file: Path, numbers: int) -> Features:
    """Return the features that most often have so many numbers; raises UserError for an unknown size."""
    if numbers not in VECTOR_SIZES:
        known = ", ".join(map(str, VECTOR_SIZES))
        raise UserError(
            f"{file} takes frames of {numbers} numbers; known are {known}, and what --layout can name: {sizes()}."
        )
    return raw_of(numbers)


def sizes(parts: Sequence[Part] = PARTS) -> str:
    """Return a text of parts, each with its size."""
    return ", ".join(f"{part} ({size(Features(kind='raw', parts=(part,)))})" for part in parts)
