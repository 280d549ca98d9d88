"""Define the options of the commands that train, and make a training configuration of them."""

import argparse
from typing import get_args

from common.errors import UserError
from common.keypoints.features import BODY, RAW, Features, Part
from common.recognition.classifier import WindowSpec
from models.training.recipe import Recipe, TrainingConfig


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a training configuration but its architecture."""
    parser.add_argument("--features", choices=("body", "raw"), default="body", help="input features (body)")
    parser.add_argument("--parts", type=_parts, help="some of pose,face,hands,joint_angles (pose,hands; raw: all)")
    parser.add_argument("--idle", type=_names, default=(), help="idle labels, beside idle, rest, nothing, none, nobody")
    parser.add_argument("--window-length", type=int, default=30, help="frames in a window (30)")
    parser.add_argument("--fps", type=float, default=25.0, help="frames/s of windows; 0: frames as they come (25)")
    parser.add_argument("--stride", type=int, default=3, help="frames between two training windows (3)")
    parser.add_argument("--epochs", type=int, default=Recipe().epochs, help=f"at most ({Recipe().epochs})")
    parser.add_argument("--folds", type=int, default=3, help="of the cross-validation (3)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (0)")


def config_from_args(args: argparse.Namespace) -> TrainingConfig:
    """Return the configuration of parsed options; raises UserError for an invalid one."""
    for option, is_valid, expected in (
        ("window-length", args.window_length >= 1, "1 frame or more"),
        ("fps", 0 <= args.fps <= 1000, "0 to 1000 frames/s"),
        ("stride", args.stride >= 1, "1 or more"),
        ("epochs", args.epochs >= 1, "1 or more"),
        ("folds", args.folds >= 2, "2 or more"),
        ("seed", 0 <= args.seed < 2**32, "0 or more"),
    ):
        if not is_valid:
            raise UserError(f"--{option} {getattr(args, option.replace('-', '_'))} is not valid: give {expected}.")
    parts = args.parts or (RAW if args.features == "raw" else BODY).parts
    try:
        features = Features(kind=args.features, parts=parts)
    except ValueError as error:
        raise UserError(f"--features {args.features} --parts {','.join(parts)} is not valid: {error}.") from error
    return TrainingConfig(
        recipe=Recipe(architecture=args.architecture, features=features, epochs=args.epochs),
        idle=args.idle,
        window=WindowSpec(length=args.window_length, fps=args.fps or None),
        stride=args.stride,
        folds=args.folds,
        seed=args.seed,
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _parts(text: str) -> tuple[str, ...]:
    parts = _names(text)
    if not set(parts) <= set(get_args(Part)):
        raise argparse.ArgumentTypeError(f"{text} is not some of {','.join(get_args(Part))}")
    return tuple(part for part in get_args(Part) if part in parts)
