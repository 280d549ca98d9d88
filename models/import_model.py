"""Import a network that another project trained: write a model folder for it.

    python -m models.import_model action.h5 --labels hello,thanks,iloveyou --out runs/theirs

Reads .h5 and .keras files of Keras 2 and 3, and .onnx files, for windows of any length. The parts of a frame's vector
are detected by its size: 1662, 258 (pose and hands), 132 (pose) or 126 (hands); --layout names them where they are
others, such as right_hand,left_hand,pose. A file that could run code is refused.
"""

import argparse
from pathlib import Path

from common.errors import command
from common.keypoints.features import size
from models.storage.importer import PARTS, import_model, sizes


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _layout(text: str) -> tuple[str, ...]:
    parts = _names(text)
    if unknown := [part for part in parts if part not in PARTS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(PARTS)}")
    return tuple(parts)


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number <= 1000:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1000")
    return number


def main() -> None:
    """Parse the command line and run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m models.import_model", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the .h5, .keras or .onnx file")
    parser.add_argument("--labels", type=_names, required=True, help="in the network's order, such as hello,thanks")
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    parser.add_argument("--idle", type=_names, default=[], help="those of them that mean that no action is performed")
    parser.add_argument("--fps", type=_positive, help="frames/s of its training data (frames as they come)")
    parser.add_argument("--window-length", type=int, help="frames in a window, for a network that takes any number")
    parser.add_argument("--layout", type=_layout, help=f"the parts of a frame's vector, in order: {sizes()}")
    args = parser.parse_args()
    with command("Interrupted: nothing was written."):
        card = import_model(
            args.file, args.out, args.labels, args.idle, args.fps, args.window_length, args.layout or ()
        )
    print(f"{args.out}: {card.layers}; windows of {card.window.length} frames of {size(card.features)} numbers")
    detected = "" if args.layout else " (detected by size; use --layout if they are others)"
    print(f"parts of a frame's vector: {sizes(card.features.parts)}{detected}")


if __name__ == "__main__":
    main()
