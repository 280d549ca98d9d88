"""A model and a few examples of one's own in; a model that knows one's way of doing it, and new labels, out.

    python -m models.adapt models/starter data/me --out models/mine

Three examples of an action are enough, and not every action needs them: the model learns them together with what it
keeps of its own lessons, so that it forgets nothing. It takes seconds.
"""

import argparse
from collections.abc import Sequence as Row
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from common.classifier import WEIGHTS, Card, read_card, tempered, weights_of
from common.errors import UserError, command
from common.features import features
from common.sequence import Sequence
from data import dataset
from models import examples, lessons, memory, premises, rests
from models.folder import check_free, write_card, written
from models.learning import Trained, learn
from models.lessons import Lessons
from models.recipe import Recipe
from models.train import shown

OWN: Final = 0.8  # of the lessons of a label that one has examples of
EPOCHS: Final = 20
LEAST: Final = 1e-6  # share of a label, below which it is not there
RATE: Final = 1e-3
STRIDE: Final = 3  # frames between two windows


class Adapted(NamedTuple):
    """A model that learnt more."""

    card: Card
    trained: Trained
    lessons: Lessons  # all that it knows now
    kept: float  # share of what it keeps of its former lessons that it tells right

    def classify(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities (n, labels) of raw windows (n, length, 1662)."""
        return tempered(self.trained.tell(features(windows, self.card.features)), self.card.temperature)


def adapt(folder: Path, sequences: Row[Sequence], seed: int = 0) -> Adapted:
    """The model in the folder after it learnt the sequences too; raises UserError."""
    card = read_card(folder)
    if weights_of(folder).name != WEIGHTS:
        raise UserError(f"{folder} has no {WEIGHTS}: only a network that was trained here can learn more.")
    labels = [*card.labels, *sorted({sequence.label for sequence in sequences} - set(card.labels))]
    premises.check_alike(labels)
    known, own = memory.recall(folder, len(labels)), own_lessons(card, labels, sequences, seed)
    everything = beside(known, own)
    recipe = msgspec.convert(card.recipe | {"epochs": EPOCHS, "rate": RATE}, Recipe)
    with shown() as progress:
        trained = learn(recipe, everything, seed, progress=progress, knowing=folder / WEIGHTS)
    told = trained.tell(known.features[0]).argmax(axis=1)
    return Adapted(
        msgspec.structs.replace(
            card,
            labels=labels,
            parameters=trained.parameters,
            data=_data(card, folder.name, sequences),
            trained=datetime.now(timezone.utc).date().isoformat(),
        ),
        trained,
        everything,
        float((told == known.targets[0].argmax(axis=1)).mean()),
    )


def own_lessons(card: Card, labels: Row[str], sequences: Row[Sequence], seed: int) -> Lessons:
    """What one's own examples teach."""
    shape, idle = card.window, [labels.index(label) for label in card.idle]
    cut = examples.cut(sequences, labels, shape, STRIDE)
    options = msgspec.convert(card.recipe, Recipe).features
    if not idle:
        return lessons.varied(cut, examples.joined([], shape.length), [], options, len(labels), seed)
    resting = set(cut.recorders[np.isin(cut.targets, idle)].tolist())
    held = rests.held(sequences, resting, shape.length, idle[0], seed)
    return lessons.varied(cut, held, idle, options, len(labels), seed)


def beside(known: Lessons, own: Lessons) -> Lessons:
    """Both, with every label as frequent: one that only the model knows, or only one's own examples show, as well."""
    parts, there = (known, own), np.stack([part.shares @ part.targets[0] for part in (known, own)])  # (2, labels)
    wanted = np.where(there > LEAST, [[1 - OWN], [OWN]], 0)
    factors = wanted / np.maximum(wanted.sum(axis=0), LEAST) / np.maximum(there, LEAST)
    shares = [part.shares * (part.targets[0] @ factor) for part, factor in zip(parts, factors, strict=True)]
    whole = sum(share.sum() for share in shares)
    return lessons.mixed(
        [
            (part._replace(shares=share / share.sum()), share.sum() / whole)
            for part, share in zip(parts, shares, strict=True)
        ]
    )


def _data(card: Card, name: str, sequences: Row[Sequence]) -> dict[str, Any]:
    """What the card says of its data, with one's own."""
    before = msgspec.convert(card.data, premises.Known)
    return card.data | {
        "adapted": name,
        "fingerprints": [*before.fingerprints, *map(premises.fingerprint, sequences)],
        "recorders": sorted({*before.recorders, *(sequence.recorder for sequence in sequences)}),
    }


def command_line(arguments: argparse.Namespace) -> None:
    """The command; raises UserError."""
    check_free(arguments.out)
    sequences = [sequence for folder in arguments.datasets for sequence in dataset.read(folder)]
    adapted = adapt(arguments.model, sequences, arguments.seed)
    with written(arguments.out) as draft:
        adapted.trained.save(draft)
        memory.keep(draft, adapted.lessons, arguments.seed)
        write_card(draft, adapted.card)
    new = len(adapted.card.labels) - len(read_card(arguments.model).labels)
    print(
        f"{arguments.out}: learnt {len(sequences)} sequences and {new} new labels; of what it keeps of its former "
        f"lessons it tells {adapted.kept:.1%} right."
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m models.adapt", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="the folder of a network that was trained here")
    parser.add_argument("datasets", type=Path, nargs="+", metavar="DATASET", help="one's own examples")
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with command("Interrupted: nothing was written."):
        command_line(arguments)


if __name__ == "__main__":
    main()
