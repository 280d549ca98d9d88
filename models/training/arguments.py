"""The options of the commands that train, and the training configuration they stand for."""

import argparse
from typing import get_args

from common.errors import UserError
from common.keypoints.features import BODY, RAW, Features, Part
from common.recognition.classifier import WindowShape
from models.training.recipe import Recipe
from models.training.trainer import Plan


def options(parser: argparse.ArgumentParser) -> None:
    """What is said about how sequences become lessons."""
    parser.add_argument("--features", choices=("body", "raw"), default="body", help="what it sees of a window (body)")
    parser.add_argument("--parts", type=_parts, help="some of pose,face,hands,joints (pose,hands; raw: all)")
    parser.add_argument("--idle", type=_names, default=(), help='labels that mean "nothing", beside idle, rest, ...')
    parser.add_argument("--length", type=int, default=30, help="frames in a window (30)")
    parser.add_argument("--fps", type=float, default=25.0, help="rate windows are resampled to; 0: as they come (25)")
    parser.add_argument("--stride", type=int, default=3, help="frames between two training windows (3)")
    parser.add_argument("--epochs", type=int, default=Recipe().epochs, help=f"at most ({Recipe().epochs})")
    parser.add_argument("--folds", type=int, default=3, help="parts, each told by a network taught the others (3)")
    parser.add_argument("--seed", type=int, default=0)


def planned(arguments: argparse.Namespace) -> Plan:
    """What the options say; raises UserError for one that will not do."""
    for name, right, what in (
        ("length", arguments.length >= 1, "1 frame or more"),
        ("fps", 0 <= arguments.fps <= 1000, "0 to 1000 frames/s"),
        ("stride", arguments.stride >= 1, "1 or more"),
        ("epochs", arguments.epochs >= 1, "1 or more"),
        ("folds", arguments.folds >= 2, "2 or more"),
        ("seed", 0 <= arguments.seed < 2**32, "0 or more"),
    ):
        if not right:
            raise UserError(f"--{name} {getattr(arguments, name)} will not do: it must be {what}.")
    parts = arguments.parts or (RAW if arguments.features == "raw" else BODY).parts
    try:
        seen = Features(kind=arguments.features, parts=parts)
    except ValueError as error:
        raise UserError(f"--features {arguments.features} --parts {','.join(parts)} will not do: {error}.") from error
    return Plan(
        recipe=Recipe(kind=arguments.model, features=seen, epochs=arguments.epochs),
        idle=arguments.idle,
        shape=WindowShape(length=arguments.length, fps=arguments.fps or None),
        stride=arguments.stride,
        folds=arguments.folds,
        seed=arguments.seed,
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _parts(text: str) -> tuple[str, ...]:
    parts = _names(text)
    if not set(parts) <= set(get_args(Part)):
        raise argparse.ArgumentTypeError(f"{text} is not some of {','.join(get_args(Part))}")
    return tuple(part for part in get_args(Part) if part in parts)
