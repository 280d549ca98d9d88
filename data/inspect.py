"""A data set in; a table of what is in it, what is wrong with it, and pictures out; or a correction made.

    python -m data.inspect data/mine --sheet out/mine.html
    python -m data.inspect data/mine --relabel wave/anna-003 hello
    python -m data.inspect data/mine --undo

Every sequence is named as the corrections take it; data/curation/edit.py says what is kept to undo them.
"""

import argparse
from collections.abc import Sequence as Row
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

COLUMNS = ("label", "recorders", "sequences", "frames", "rate", "face", "left\nhand", "right\nhand")


def table(named: SequencesByName) -> Table:
    """A row for each label, and one for all."""
    shown = Table(
        box=box.SIMPLE,
        show_edge=False,
        pad_edge=False,
        caption="frames: fewest/median/most; rate: frames/s; face, hands: share of frames",
    )
    shown.add_column(COLUMNS[0], overflow="fold", min_width=10)
    for column in COLUMNS[1:]:
        shown.add_column(column, justify="right", no_wrap=True)
    for label, group in by_label(named).items():
        shown.add_row(*_row(label, group))
    shown.add_section()
    shown.add_row(*_row("all", list(named.values())))
    return shown


def _row(label: str, group: Row[KeypointSequence]) -> list[str]:
    frames = [len(sequence.keypoints) for sequence in group]
    rates = [rate(sequence) for sequence in group if len(sequence.keypoints) > 1]
    shares = (
        np.average([detected_ratio(sequence, part) for sequence in group], weights=frames)
        for part in ("face", "left_hand", "right_hand")
    )
    return [
        escape(label),
        str(len({sequence.subject for sequence in group})),
        str(len(group)),
        f"{min(frames)}/{np.median(frames):.0f}/{max(frames)}",
        f"{np.median(rates):.1f}" if rates else "",
        *(f"{share:.0%}" for share in shares),
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m data.inspect", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path, help="a data set in any layout; corrections need one of this project")
    parser.add_argument("--fps", type=float, default=25.0, help="rate of recordings that do not say theirs (25)")
    todo = parser.add_mutually_exclusive_group()
    todo.add_argument("--sheet", type=Path, metavar="OUT", help="pictures: a page .html, a .png, or a folder of .png")
    todo.add_argument("--delete", metavar="LABEL/NAME")
    todo.add_argument("--relabel", nargs=2, metavar=("LABEL/NAME", "NEW_LABEL"))
    todo.add_argument("--trim", nargs=3, metavar=("LABEL/NAME", "START_S", "END_S"), help="keep what lies between")
    todo.add_argument("--undo", action="store_true", help="take back the last correction; again: the one before it")
    return parser.parse_args()


def show(arguments: argparse.Namespace) -> None:
    """Table, issues and, where asked for, pictures."""
    named = read_named(arguments.dataset, arguments.fps)
    found = find_issues(named, read_manifest(arguments.dataset))
    Console().print(table(named))
    print("\n".join(f"- {issue}" for issue in found) or "Nothing wrong was found.")
    if arguments.sheet:
        written = contact_sheet.write(arguments.sheet, arguments.dataset.resolve().name, named, found)
        print("Look at " + ", ".join(map(str, written)))


def correct(arguments: argparse.Namespace) -> str:
    """Do the one correction that is asked for."""
    with Editor(arguments.dataset) as editor:
        if arguments.undo:
            return editor.undo()
        if editor.interrupted:
            print(f"Taken back, since it had been interrupted: {editor.interrupted}.")
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
    arguments = _arguments()
    with command():
        if arguments.undo or arguments.relabel or arguments.trim or arguments.delete is not None:
            print(correct(arguments))
        else:
            show(arguments)


if __name__ == "__main__":
    main()
