"""Compare architectures on people or sequences they were not trained on.

    python -m models.compare datasets/mine --plot out/architectures.svg

All architectures are trained and evaluated on the same test folds: grouped by subject if there are several, else
stratified by label. `notebook` is the network of nicknochnack/ActionDetectionforSignLanguage on raw keypoints, as a
baseline. Test folds take no part in training, nor in fitting epochs, temperature and decision.
"""

import argparse
import io
import sys
from collections.abc import Callable, Iterator, Sequence
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
from models.training.arguments import add_options, config_from_args
from models.training.cross_validation import FoldMetrics, cross_validate, fold_metrics
from models.training.recipe import ARCHITECTURES, Recipe, TrainingConfig
from models.training.trainer import find_labels
from models.training_data.folds import Fold, make_test_folds

NOTEBOOK: Final = "notebook"
CHOICES: Final = (*ARCHITECTURES, NOTEBOOK)
PLOT_FORMATS: Final = (".svg", ".png")


class Column(NamedTuple):
    """A column of the table: a metric, averaged over the folds."""

    metric: str
    style: str
    best: Callable[[Sequence[float]], float]


COLUMNS: Final[dict[str, Column]] = {  # 80 characters a line
    "accuracy": Column("accuracy", ".3f", max),
    "loss": Column("loss", ".3f", min),
    "calib. error": Column("calibration_error", ".3f", min),
    "segm. F1": Column("segmental_f1", ".3f", max),
    "FP a min.": Column("false_positives_per_minute", ".2f", min),
    "params": Column("parameters", ",.0f", min),
    "ms a window": Column("ms_per_window", ".2f", min),
    "train s": Column("training_s", ".0f", min),
}


def run(args: argparse.Namespace) -> None:
    """Run the command; raises UserError, before the long computation where it can."""
    config, architectures = config_from_args(args), list(dict.fromkeys(args.architectures))
    count = None if args.leave_one_out else args.test_folds
    sequences = [sequence for folder in args.datasets for sequence in dataset.read(folder)]
    find_labels(sequences, config.idle)
    folds = {seed: make_test_folds(sequences, count, seed) for seed in range(config.seed, config.seed + args.seeds)}
    for path in filter(None, (args.json, args.plot)):
        path.parent.mkdir(parents=True, exist_ok=True)
    metrics: list[FoldMetrics] = []
    for seed, of_seed in folds.items():
        for one in measure(sequences, msgspec.structs.replace(config, seed=seed), of_seed, architectures):
            metrics.append(one)
            if args.json:
                write(args.json, args.datasets, config, metrics)
            print_progress(one, len(of_seed))
    Console().print(table(metrics))
    if args.plot:
        atomic_write(args.plot, plot(metrics, args.plot.suffix[1:]))


def measure(
    sequences: Sequence[KeypointSequence], config: TrainingConfig, folds: Sequence[Fold], architectures: Sequence[str]
) -> Iterator[FoldMetrics]:
    """Yield the metrics of every fold, and in it of every architecture."""
    recipes = [recipe_of(architecture, config.recipe) for architecture in architectures]
    models = cross_validate(sequences, config, folds, recipes)
    for (fold, architecture), one in zip(product(range(len(folds)), architectures), models, strict=True):
        yield fold_metrics(one, architecture, config.seed, fold)


def recipe_of(architecture: str, recipe: Recipe) -> Recipe:
    """Return the recipe with another architecture, one of CHOICES."""
    if architecture == NOTEBOOK:
        return msgspec.structs.replace(recipe, architecture="lstm", features=RAW)
    return msgspec.structs.replace(recipe, architecture=architecture)


def print_progress(one: FoldMetrics, folds: int) -> None:
    """Print a line about a model."""
    print(
        f"seed {one.seed}, fold {one.fold + 1} of {folds}, {one.architecture}: accuracy {one.accuracy:.3f}, "
        f"loss {one.loss:.3f}, trained in {one.training_s:.1f} s",
        file=sys.stderr,
    )


def write(path: Path, datasets: Sequence[Path], config: TrainingConfig, metrics: Sequence[FoldMetrics]) -> None:
    """Write the metrics of all folds as JSON."""
    content = {"datasets": [printable(source) for source in datasets], "config": config, "metrics": metrics}
    atomic_write(path, msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")


def by_architecture(metrics: Sequence[FoldMetrics]) -> dict[str, list[FoldMetrics]]:
    """Group metrics by architecture, the best first: by accuracy, then by loss."""
    groups: dict[str, list[FoldMetrics]] = {}
    for one in metrics:
        groups.setdefault(one.architecture, []).append(one)
    return dict(sorted(groups.items(), key=lambda item: (-mean(item[1], "accuracy"), mean(item[1], "loss"))))


def mean(metrics: Sequence[FoldMetrics], metric: str) -> float:
    """Return the mean of a metric over the folds."""
    return float(np.mean([getattr(one, metric) for one in metrics]))


def spread(metrics: Sequence[FoldMetrics]) -> float:
    """Return the standard deviation of accuracy over the folds."""
    return float(np.std([one.accuracy for one in metrics]))


def table(metrics: Sequence[FoldMetrics]) -> Table:
    """Return a table of means over the folds, the best of each column in bold."""
    groups, shown = by_architecture(metrics), Table(box=box.SIMPLE, show_edge=False, padding=0)
    shown.add_column("architecture", no_wrap=True)
    for title in COLUMNS:
        shown.add_column(title, justify="right", no_wrap=title == "accuracy")
    means = {column: [mean(group, column.metric) for group in groups.values()] for column in COLUMNS.values()}
    for number, (architecture, group) in enumerate(groups.items()):
        cells = []
        for column, values in means.items():
            cell = f"{values[number]:{column.style}}"
            cell += f"±{spread(group):.3f}" if column.metric == "accuracy" else ""
            cells.append(f"[bold]{cell}[/]" if values[number] == column.best(values) else cell)
        shown.add_row(architecture, *cells)
    return shown


def plot(metrics: Sequence[FoldMetrics], suffix: str) -> bytes:
    """Plot the accuracy of each architecture, with its spread over the folds, against the time of a window."""
    from matplotlib.figure import Figure  # takes a second, which a table need not wait for

    figure, content = Figure((6.4, 4.2), layout="constrained"), io.BytesIO()
    axes = figure.subplots()
    for architecture, group in by_architecture(metrics).items():
        place = mean(group, "ms_per_window"), mean(group, "accuracy")
        axes.errorbar(*place, yerr=spread(group), fmt="o", capsize=3)
        axes.annotate(architecture, place, xytext=(6, 4), textcoords="offset points")
    axes.set(xscale="log", xlabel="ms a window", ylabel="accuracy, and its standard deviation over folds")
    figure.savefig(content, format=suffix)
    return content.getvalue()


def check(args: argparse.Namespace) -> None:
    """Raise UserError for an invalid option."""
    if unknown := [one for one in args.architectures if one not in CHOICES]:
        raise UserError(f"--architectures {unknown[0]} is none of {', '.join(CHOICES)}.")
    if args.seeds < 1:
        raise UserError(f"--seeds {args.seeds} is not valid: give 1 or more.")
    if args.plot and args.plot.suffix not in PLOT_FORMATS:
        raise UserError(f"--plot {args.plot} is not valid: its name must end in {' or '.join(PLOT_FORMATS)}.")
    for path in filter(None, (args.json, args.plot)):
        if path.is_dir():
            raise UserError(f"{path} is a folder: name a file to write.")


def main() -> None:
    """Parse the command line and run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m models.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", type=Path, nargs="+", metavar="DATASET")
    parser.add_argument("--architectures", nargs="+", metavar="NAME", default=CHOICES, help=f"of {', '.join(CHOICES)}")
    split = parser.add_mutually_exclusive_group()
    split.add_argument("--test-folds", metavar="N", type=int, default=5, help="folds to evaluate on (5)")
    split.add_argument("--leave-one-out", action="store_true", help="a test fold for each subject")
    parser.add_argument("--seeds", type=int, default=1, help="repeat with so many seeds, from --seed on (1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the metrics of every fold into it")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="plot accuracy and time into a .svg or .png")
    parser.set_defaults(architecture=Recipe().architecture)
    add_options(parser)
    args = parser.parse_args()
    with command("Interrupted: the metrics so far are above, and in the --json file."):
        check(args)
        run(args)


if __name__ == "__main__":
    main()
