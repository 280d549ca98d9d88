"""A model folder and a data set in; how well the model does on it out, as tables, JSON, and a page with pictures.

    python -m models.evaluate pretrained/testcard data/others --report out/others

Windows are cut as in training and as live. On the stream, the sequences follow each other with rests between them,
and pass through the same windows and decision as live.
"""

import argparse
import sys
from pathlib import Path

import msgspec
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from common.errors import UserError, command
from common.files import atomic_write
from common.recognition.classifier import Classifier, read_card
from data.dataset import read_named
from models.evaluation import report
from models.evaluation.evaluator import Result, judge
from models.evaluation.metrics import Scores
from models.evaluation.provenance import check_labels
from models.storage.folder import in_text


def evaluate(arguments: argparse.Namespace) -> None:
    """The command; raises UserError, before the long work where it can."""
    card = read_card(arguments.model)
    named = read_named(arguments.dataset, arguments.fps)
    check_labels({sequence.label for sequence in named.values()}, card.labels)
    for folder in filter(None, (arguments.json and arguments.json.parent, arguments.report)):
        folder.mkdir(parents=True, exist_ok=True)
    with Console(stderr=True).status("Judging ..."):
        result = judge(Classifier(arguments.model), card, named, arguments.stride, arguments.seed)
    show(result)
    if arguments.json:
        facts = {
            "model": in_text(arguments.model),
            "dataset": in_text(arguments.dataset),
            **msgspec.structs.asdict(result),
        }
        atomic_write(arguments.json, msgspec.json.format(msgspec.json.encode(facts), indent=2) + b"\n")
    if arguments.report:
        title = f"{arguments.model.resolve().name} on {arguments.dataset.resolve().name}"
        print(f"Look at {report.write(arguments.report, title, result, named)}")


def check(arguments: argparse.Namespace) -> None:
    """Raises UserError for an option that will not do."""
    for option, right, what in (
        ("stride", arguments.stride >= 1, "1 or more"),
        ("seed", arguments.seed >= 0, "0 or more"),
        ("json", not (arguments.json and arguments.json.is_dir()), "a file"),
    ):
        if not right:
            raise UserError(f"--{option} {getattr(arguments, option)} will not do: it must be {what}.")


def show(result: Result) -> None:
    """Everything but the single sequences."""
    console = Console()
    console.print(_classes(result.sequences))
    for what, scores in (("sequences", result.sequences), ("windows", result.windows)):
        tops = "".join(f", right among the best {k} {share:.3f}" for k, share in scores.top.items())
        print(
            f"{scores.count} {what}: accuracy {scores.accuracy:.3f}, loss {scores.loss:.3f}{tops}, macro F1 "
            f"{scores.macro_f1:.3f}, calibration error {scores.calibration_error:.3f}"
        )
    print(report.described_spread(result.sequences))
    print("\n".join(report.described(result.stream)))
    for caution in result.cautions:
        print(f"Note: {caution}", file=sys.stderr)


def _classes(scores: Scores) -> Table:
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False)
    table.add_column("label", overflow="fold", min_width=10)
    for column in ("precision", "recall", "F1", "TP", "FP", "TN", "FN"):
        table.add_column(column, justify="right", no_wrap=True)
    for label, one in scores.classes.items():
        shares = ("" if share is None else f"{share:.3f}" for share in (one.precision, one.recall, one.f1))
        table.add_row(escape(label), *shares, *map(str, (one.tp, one.fp, one.tn, one.fn)))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m models.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="a model folder")
    parser.add_argument("dataset", type=Path, help="a data set in any layout, of people the model has not seen")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures, and every sequence's, into it")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write a page with pictures into it")
    parser.add_argument("--fps", type=float, default=25.0, help="rate of recordings that do not say theirs (25)")
    parser.add_argument("--stride", type=int, default=1, help="frames between two windows (1, as live)")
    parser.add_argument("--seed", type=int, default=0, help="of the stream's order and rests")
    arguments = parser.parse_args()
    with command():
        check(arguments)
        evaluate(arguments)


if __name__ == "__main__":
    main()
