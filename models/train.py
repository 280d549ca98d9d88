"""Data sets in, a model folder out.

    python -m models.train data/mine --out models/mine

Every window of a sequence that the live windows stage would cut is an example of its label; where nothing is performed
is learnt as well. Parts of the data, of whole recorders where there are several, are each told by a network that was
taught the others: this says how good the model is on people it has not seen, when to stop, and how sure to be. Then all
are learnt. The same command goes on where it was interrupted.
"""

import argparse
import contextlib
import platform
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any, get_args

import msgspec
from rich.console import Console
from rich.progress import Progress

from common.errors import UserError, command
from common.keypoints.features import BODY, RAW, Features, Part
from common.keypoints.landmarks import LAYOUT
from common.recognition.classifier import Card, WindowShape
from common.recording.sequence import KeypointSequence
from data import dataset
from models.evaluation import provenance
from models.simulation import pipeline
from models.storage.folder import check_free, desk, in_text, write_card, written
from models.training.fit import LOGS
from models.training.recipe import KINDS, Recipe
from models.training.trainer import Course, Plan, Taught


def train(arguments: argparse.Namespace) -> None:
    """The command; raises UserError."""
    plan = planned(arguments)
    check_free(arguments.out)
    sequences = [sequence for folder in arguments.datasets for sequence in dataset.read(folder)]
    course = Course(sequences, plan)
    with desk(arguments.out, provenance.work(plan, sequences)) as folder, shown() as progress:
        taught = course.teach(folder, progress)
        with written(arguments.out) as draft:
            save(draft, course, taught, [in_text(source.name) for source in arguments.datasets])
            for logs in folder.glob(f"*/{LOGS}"):
                shutil.move(logs, draft / LOGS / logs.parent.name)
    told(arguments.out, taught)


def save(folder: Path, course: Course, taught: Taught, sources: list[str], **more: Any) -> None:
    """Everything but the logs of its training into a model folder; `more` is what its card says of its data."""
    taught.trained.save(folder)
    course.keep_memory(folder)
    write_card(folder, card_of(taught, list(course.sequences), sources, **more))


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


def card_of(taught: Taught, sequences: list[KeypointSequence], sources: list[str], **more: Any) -> Card:
    """What the model says of itself."""
    plan, validated = taught.plan, taught.validated
    return Card(
        layout=LAYOUT,
        labels=taught.labels,
        idle=taught.idle,
        window=plan.shape,
        features=plan.recipe.features,
        temperature=validated.temperature,
        decision=validated.decision,
        architecture=taught.trained.architecture,
        parameters=taught.trained.parameters,
        data={
            "sources": sources,
            "sha256": provenance.digest(sequences),
            "fingerprints": [provenance.fingerprint(sequence) for sequence in sequences],
            "parts": pipeline.parts_seen(sequences),
            "sequences": len(sequences),
            "recorders": sorted({sequence.subject for sequence in sequences}),
            **more,
        },
        metrics={
            "validation": validated.metrics,
            "split": f"{validated.parts} parts, each told by a network that was taught the others",
            "recorders_unseen": validated.unseen,
            "recorders": validated.recorders,
        },
        seed=plan.seed,
        recipe=msgspec.to_builtins(plan.recipe),
        versions={"python": platform.python_version(), **versions()},
        commit=commit(),
        trained=datetime.now(timezone.utc).date().isoformat(),
    )


@contextlib.contextmanager
def shown() -> Iterator[Any]:
    """A bar for the epochs of a course, where there is a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("Training")
        yield lambda done, total, _loss: progress.update(bar, completed=done, total=total)


def told(out: Path, taught: Taught) -> None:
    metrics, who = taught.validated.metrics, len(taught.validated.recorders)
    on = f"{who} recorders, each unseen" if taught.validated.unseen else "sequences it had not seen"
    print(
        f"{out}: on {on} until it learnt them too, accuracy {metrics['accuracy']:.3f}, loss {metrics['loss']:.3f}, "
        f"calibration error {metrics['calibration_error']:.3f}; on a stream, event F1 {metrics['event_f1']:.3f} with "
        f"{metrics['false_per_minute']:.2f} false actions a minute."
    )


def versions() -> dict[str, str]:
    """Of the packages that may have trained it, without importing them."""
    versions = {}
    for name in ("tensorflow", "tensorflow-cpu", "scikit-learn", "numpy"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def commit() -> str:
    """Of this project, where it is a checkout."""
    asked = ["git", "rev-parse", "--short", "HEAD"]
    with contextlib.suppress(OSError):  # git need not be installed
        told = subprocess.run(asked, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
        return told.stdout.strip() or "unknown"
    return "unknown"


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


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _parts(text: str) -> tuple[str, ...]:
    parts = _names(text)
    if not set(parts) <= set(get_args(Part)):
        raise argparse.ArgumentTypeError(f"{text} is not some of {','.join(get_args(Part))}")
    return tuple(part for part in get_args(Part) if part in parts)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m models.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", type=Path, nargs="+", metavar="DATASET")
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    parser.add_argument("--model", choices=KINDS, default=Recipe().kind, help=f"its kind ({Recipe().kind})")
    options(parser)
    arguments = parser.parse_args()
    with command("Interrupted: the same command goes on from here."):
        train(arguments)


if __name__ == "__main__":
    main()
