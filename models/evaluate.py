"""Evaluate a model on a data set: print metrics, and write them as JSON or as a page with plots.

    python -m models.evaluate pretrained/testcard datasets/others --report out/others

Windows are cut as in training and as live. The sequences are evaluated one by one, and once more joined to a continuous
stream, with idleness between them, that passes through the windows and the decision of the live pipeline.
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
from models.evaluation.evaluator import Evaluation, evaluate
from models.evaluation.metrics import Scores
from models.evaluation.provenance import check_labels
from models.storage.folder import printable


def run(args: argparse.Namespace) -> None:
    """Run the command; raises UserError, before the long computation where it can."""
    card = read_card(args.model)
    named = read_named(args.dataset, args.fps)
    check_labels({sequence.label for sequence in named.values()}, card.labels)
    for folder in filter(None, (args.json and args.json.parent, args.report)):
        folder.mkdir(parents=True, exist_ok=True)
    with Console(stderr=True).status("Evaluating ..."):
        result = evaluate(Classifier(args.model), card, named, args.stride, args.seed)
    show(result)
    if args.json:
        content = {
            "model": printable(args.model),
            "dataset": printable(args.dataset),
            **msgspec.structs.asdict(result),
        }
        atomic_write(args.json, msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
    if args.report:
        title = f"{args.model.resolve().name} on {args.dataset.resolve().name}"
        print(f"report: {report.write(args.report, title, result, named)}")


def check(args: argparse.Namespace) -> None:
    """Raise UserError for an invalid option."""
    for option, is_valid, what in (
        ("stride", args.stride >= 1, "1 or more"),
        ("seed", args.seed >= 0, "0 or more"),
        ("json", not (args.json and args.json.is_dir()), "a file"),
    ):
        if not is_valid:
            raise UserError(f"--{option} {getattr(args, option)} is not valid: give {what}.")


def show(result: Evaluation) -> None:
    """Print all metrics but those of single sequences."""
    console = Console()
    console.print(_classes(result.sequences))
    for what, scores in (("sequences", result.sequences), ("windows", result.windows)):
        top_k = "".join(f", top-{k} accuracy {value:.3f}" for k, value in scores.top_k_accuracy.items())
        print(
            f"{scores.count} {what}: accuracy {scores.accuracy:.3f}, loss {scores.loss:.3f}{top_k}, macro F1 "
            f"{scores.macro_f1:.3f}, calibration error {scores.calibration_error:.3f}"
        )
    print(report.subject_line(result.sequences))
    print("\n".join(report.stream_lines(result.stream)))
    for warning in result.warnings:
        print(f"Warning: {warning}", file=sys.stderr)


def _classes(scores: Scores) -> Table:
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False)
    table.add_column("label", overflow="fold", min_width=10)
    for column in ("precision", "recall", "F1", "TP", "FP", "TN", "FN"):
        table.add_column(column, justify="right", no_wrap=True)
    for label, one in scores.classes.items():
        ratios = ("" if ratio is None else f"{ratio:.3f}" for ratio in (one.precision, one.recall, one.f1))
        table.add_row(escape(label), *ratios, *map(str, (one.tp, one.fp, one.tn, one.fn)))
    return table


def main() -> None:
    """Parse the command line and run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m models.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="a model folder")
    parser.add_argument("dataset", type=Path, help="a data set in any format, of people the model was not trained on")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write all metrics, and those of every sequence, into it"
    )
    parser.add_argument("--report", type=Path, metavar="DIR", help="write a page with tables and plots into it")
    parser.add_argument("--fps", type=float, default=25.0, help="frames/s of recordings that do not name theirs (25)")
    parser.add_argument("--stride", type=int, default=1, help="frames between two windows (1, as live)")
    parser.add_argument("--seed", type=int, default=0, help="of the stream's order and idleness (0)")
    args = parser.parse_args()
    with command():
        check(args)
        run(args)


if __name__ == "__main__":
    main()
