"""Data sets in; how well each kind of model does on people or sequences it has not seen, as a table, out.

    python -m models.compare data/mine --plot out/kinds.svg

Every kind is taught and judged on the same folds: of whole recorders where there are several, else with the same share
of each label. `notebook` is the well-known notebook's network on raw keypoints, the yardstick. Figures are of the folds
alone, which took no part in training, nor in choosing when to stop, how sure to be, or what to report as an action.
"""

import argparse
import io
import sys
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Row
from itertools import product
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from common.errors import UserError, command
from common.files import atomic_write
from common.keypoints.features import RAW
from common.recording.sequence import KeypointSequence
from data import dataset
from models.storage.folder import printable
from models.training.arguments import options, planned
from models.training.cross_validation import Figures, crossed, figures_of
from models.training.recipe import KINDS, Recipe
from models.training.trainer import Plan, labelled
from models.training_data.folds import Fold, make_test_folds

NOTEBOOK: Final = "notebook"
CHOICES: Final = (*KINDS, NOTEBOOK)
PICTURES: Final = (".svg", ".png")


class Column(NamedTuple):
    """A column of the table: a figure's mean over the folds."""

    figure: str
    style: str
    best: Callable[[Row[float]], float]


COLUMNS: Final[dict[str, Column]] = {  # 80 letters a line
    "accuracy": Column("accuracy", ".3f", max),
    "loss": Column("loss", ".3f", min),
    "calib. error": Column("calibration_error", ".3f", min),
    "event F1": Column("event_f1", ".3f", max),
    "false a min.": Column("false_per_minute", ".2f", min),
    "params": Column("parameters", ",.0f", min),
    "ms a window": Column("ms_per_window", ".2f", min),
    "train s": Column("training_s", ".0f", min),
}


def compare(arguments: argparse.Namespace) -> None:
    """The command; raises UserError, before the long work where it can."""
    plan, kinds = planned(arguments), list(dict.fromkeys(arguments.kinds))
    count = None if arguments.leave_one_out else arguments.judging
    sequences = [sequence for folder in arguments.datasets for sequence in dataset.read(folder)]
    labelled(sequences, plan.idle)
    rounds = {seed: make_test_folds(sequences, count, seed) for seed in range(plan.seed, plan.seed + arguments.seeds)}
    for path in filter(None, (arguments.json, arguments.plot)):
        path.parent.mkdir(parents=True, exist_ok=True)
    figures: list[Figures] = []
    for seed, parts in rounds.items():
        for one in measured(sequences, msgspec.structs.replace(plan, seed=seed), parts, kinds):
            figures.append(one)
            if arguments.json:
                write(arguments.json, arguments.datasets, plan, figures)
            tell(one, len(parts))
    Console().print(table(figures))
    if arguments.plot:
        atomic_write(arguments.plot, drawn(figures, arguments.plot.suffix[1:]))


def measured(sequences: Row[KeypointSequence], plan: Plan, parts: Row[Fold], kinds: Row[str]) -> Iterator[Figures]:
    """The figures of every fold, and in it of every kind."""
    models = crossed(sequences, plan, parts, [recipe_of(kind, plan.recipe) for kind in kinds])
    for (fold, kind), one in zip(product(range(len(parts)), kinds), models, strict=True):
        yield figures_of(one, kind, plan.seed, fold)


def recipe_of(kind: str, recipe: Recipe) -> Recipe:
    if kind == NOTEBOOK:
        return msgspec.structs.replace(recipe, kind="lstm", features=RAW)
    return msgspec.structs.replace(recipe, kind=kind)


def tell(one: Figures, folds: int) -> None:
    print(
        f"seed {one.seed}, fold {one.fold + 1} of {folds}, {one.kind}: accuracy {one.accuracy:.3f}, "
        f"loss {one.loss:.3f}, trained in {one.training_s:.1f} s",
        file=sys.stderr,
    )


def write(path: Path, datasets: Row[Path], plan: Plan, figures: Row[Figures]) -> None:
    sources = [printable(source) for source in datasets]
    facts = {"datasets": sources, "plan": plan, "figures": figures}
    atomic_write(path, msgspec.json.format(msgspec.json.encode(facts), indent=2) + b"\n")


def by_kind(figures: Row[Figures]) -> dict[str, list[Figures]]:
    """The figures of each kind, the best kind first: by accuracy, then by loss."""
    kinds: dict[str, list[Figures]] = {}
    for one in figures:
        kinds.setdefault(one.kind, []).append(one)
    return dict(sorted(kinds.items(), key=lambda item: (-mean(item[1], "accuracy"), mean(item[1], "loss"))))


def mean(figures: Row[Figures], what: str) -> float:
    return float(np.mean([getattr(one, what) for one in figures]))


def spread(figures: Row[Figures]) -> float:
    """Standard deviation of accuracy over the folds."""
    return float(np.std([one.accuracy for one in figures]))


def table(figures: Row[Figures]) -> Table:
    """Means over the folds, the best of each in bold."""
    kinds, shown = by_kind(figures), Table(box=box.SIMPLE, show_edge=False, padding=0)
    shown.add_column("kind", no_wrap=True)
    for title in COLUMNS:
        shown.add_column(title, justify="right", no_wrap=title == "accuracy")
    means = {column: [mean(some, column.figure) for some in kinds.values()] for column in COLUMNS.values()}
    for number, (kind, some) in enumerate(kinds.items()):
        cells = []
        for column, values in means.items():
            cell = f"{values[number]:{column.style}}"
            cell += f"±{spread(some):.3f}" if column.figure == "accuracy" else ""
            cells.append(f"[bold]{cell}[/]" if values[number] == column.best(values) else cell)
        shown.add_row(kind, *cells)
    return shown


def drawn(figures: Row[Figures], suffix: str) -> bytes:
    """A picture: accuracy of each kind, with its spread over the folds, against the time a window takes."""
    from matplotlib.figure import Figure  # takes a second, which a table need not wait for

    figure, content = Figure((6.4, 4.2), layout="constrained"), io.BytesIO()
    axes = figure.subplots()
    for kind, some in by_kind(figures).items():
        place = mean(some, "ms_per_window"), mean(some, "accuracy")
        axes.errorbar(*place, yerr=spread(some), fmt="o", capsize=3)
        axes.annotate(kind, place, xytext=(6, 4), textcoords="offset points")
    axes.set(xscale="log", xlabel="ms a window", ylabel="accuracy, and its standard deviation over folds")
    figure.savefig(content, format=suffix)
    return content.getvalue()


def check(arguments: argparse.Namespace) -> None:
    """Raises UserError for an option that will not do."""
    if unknown := [kind for kind in arguments.kinds if kind not in CHOICES]:
        raise UserError(f"--kinds {unknown[0]} is none of {', '.join(CHOICES)}.")
    if arguments.seeds < 1:
        raise UserError(f"--seeds {arguments.seeds} will not do: it must be 1 or more.")
    if arguments.plot and arguments.plot.suffix not in PICTURES:
        raise UserError(f"--plot {arguments.plot} will not do: its name must end in {' or '.join(PICTURES)}.")
    for path in filter(None, (arguments.json, arguments.plot)):
        if path.is_dir():
            raise UserError(f"{path} is a folder: name a file to write.")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m models.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        conflict_handler="resolve",
    )
    options(parser)
    parser.set_defaults(model=Recipe().kind, folds=Plan().folds)
    parser.add_argument("datasets", type=Path, nargs="+", metavar="DATASET")
    parser.add_argument("--kinds", nargs="+", metavar="KIND", default=CHOICES, help=f"of {', '.join(CHOICES)} (all)")
    split = parser.add_mutually_exclusive_group()
    # In place of train's --folds, by which a course validates itself: these judge it.
    split.add_argument("--folds", dest="judging", metavar="N", type=int, default=5, help="parts that judge in turn (5)")
    split.add_argument("--leave-one-out", action="store_true", help="a fold for each recorder")
    parser.add_argument("--seeds", type=int, default=1, help="repeat with so many seeds, from --seed on (1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of every fold into it")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw accuracy and time into a .svg or .png")
    arguments = parser.parse_args()
    with command("Interrupted: the figures so far are above, and in the --json file."):
        check(arguments)
        compare(arguments)


if __name__ == "__main__":
    main()
