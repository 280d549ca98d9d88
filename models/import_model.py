"""A model that somebody else trained in, a model folder out.

    python -m models.import_model action.h5 --labels hello,thanks,iloveyou --out models/theirs

Takes .h5 and .keras files of Keras 2 and 3, and .onnx files, whose windows have any length. What the numbers of a frame
are is guessed by how many there are: 1662, 258 (pose and hands), 132 (pose) or 126 (hands); --layout says it where they
are others, such as right_hand,left_hand,pose. A file that could run code of its own is refused.
"""

import argparse
from pathlib import Path

from common.errors import command
from common.keypoints.features import size
from models.storage.importer import PARTS, adopt, sizes


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
    parser.add_argument("--layout", type=_layout, help=f"what a frame's numbers are, in their order: {sizes()}")
    asked = parser.parse_args()
    with command("Interrupted: nothing was written."):
        card = adopt(asked.file, asked.out, asked.labels, asked.idle, asked.fps, asked.length, asked.layout or ())
    print(f"{asked.out}: {card.architecture}; windows of {card.window.length} frames of {size(card.features)} numbers.")
    taken, why = sizes(card.features.parts), "" if asked.layout else " by their count; say --layout if they are others"
    print(f"The numbers of a frame are taken as {taken}{why}.")


if __name__ == "__main__":
    main()
