"""Show what a data set holds and what is wrong with it, or correct it.

    python -m data.inspect datasets/mine --sheet out/mine.html
    python -m data.inspect datasets/mine --relabel wave/anna-003 hello
    python -m data.inspect datasets/mine --undo

Sequences are named <label>/<name>, as the corrections expect them.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from common.errors import UserError, command
from common.recording.dataset_writer import read_manifest
from common.recording.sequence import KeypointSequence
from data.curation import contact_sheet
from data.curation.checks import by_label, detected_ratio, find_issues, rate
from data.curation.edit import Editor
from data.dataset import SequencesByName, read_named

COLUMNS = ("label", "subjects", "sequences", "frames", "rate", "face", "left\nhand", "right\nhand")


def table(named: SequencesByName) -> Table:
    """A row for each label, and one for all."""
    shown = Table(
        box=box.SIMPLE,
        show_edge=False,
        pad_edge=False,
        caption="frames: min/median/max; rate: frames/s; face, hands: fraction of frames",
    )
    shown.add_column(COLUMNS[0], overflow="fold", min_width=10)
    for column in COLUMNS[1:]:
        shown.add_column(column, justify="right", no_wrap=True)
    for label, group in by_label(named).items():
        shown.add_row(*_row(label, group))
    shown.add_section()
    shown.add_row(*_row("all", list(named.values())))
    return shown


def _row(label: str, group: Sequence[KeypointSequence]) -> list[str]:
    frames = [len(sequence.keypoints) for sequence in group]
    rates = [rate(sequence) for sequence in group if len(sequence.keypoints) > 1]
    ratios = (
        np.average([detected_ratio(sequence, part) for sequence in group], weights=frames)
        for part in ("face", "left_hand", "right_hand")
    )
    return [
        escape(label),
        str(len({sequence.subject for sequence in group})),
        str(len(group)),
        f"{min(frames)}/{np.median(frames):.0f}/{max(frames)}",
        f"{np.median(rates):.1f}" if rates else "",
        *(f"{ratio:.0%}" for ratio in ratios),
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m data.inspect", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path, help="a data set in any format; corrections need a native one")
    parser.add_argument("--fps", type=float, default=25.0, help="frames/s of recordings that state no rate (25)")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--sheet", type=Path, metavar="OUT", help="draw a contact sheet: .html, .png, or a folder")
    action.add_argument("--delete", metavar="LABEL/NAME", help="remove a sequence and its video")
    action.add_argument("--relabel", nargs=2, metavar=("LABEL/NAME", "NEW_LABEL"), help="change a sequence's label")
    action.add_argument(
        "--trim", nargs=3, metavar=("LABEL/NAME", "START_S", "END_S"), help="keep the frames in between"
    )
    action.add_argument("--undo", action="store_true", help="undo the last correction; again: the one before it")
    return parser.parse_args()


def show(arguments: argparse.Namespace) -> None:
    """Print the table and the issues, and draw the contact sheet if asked for."""
    named = read_named(arguments.dataset, arguments.fps)
    found = find_issues(named, read_manifest(arguments.dataset))
    Console().print(table(named))
    print("\n".join(f"- {issue}" for issue in found) or "Nothing wrong was found.")
    if arguments.sheet:
        written = contact_sheet.write(arguments.sheet, arguments.dataset.resolve().name, named, found)
        print("Look at " + ", ".join(map(str, written)))


def correct(arguments: argparse.Namespace) -> str:
    """Make the requested correction; returns a sentence about it, raises UserError."""
    with Editor(arguments.dataset) as editor:
        if arguments.undo:
            return editor.undo()
        if editor.interrupted:
            print(f"Undone, since it was interrupted: {editor.interrupted}.")
        if arguments.delete is not None:
            return editor.delete(arguments.delete)
        if arguments.relabel:
            return editor.relabel(*arguments.relabel)
        name, start, end = arguments.trim
        return editor.trim(name, _seconds(start), _seconds(end))


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{text!r} is not a number of seconds.") from None


def main() -> None:
    """The command `python -m data.inspect`."""
    arguments = _arguments()
    with command():
        if arguments.undo or arguments.relabel or arguments.trim or arguments.delete is not None:
            print(correct(arguments))
        else:
            show(arguments)


if __name__ == "__main__":
    main()
