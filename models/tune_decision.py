"""A model folder and sequences it has not learnt in; the decision's parameters that find their actions best, out.

    python -m models.tune_decision models/mine data/others

The sequences become streams with rests between them, as in models.evaluate; the parameters go into the model's card,
unless they are no better than those that it has.
"""

import argparse
import sys
from pathlib import Path

import msgspec
from rich.console import Console

from common.errors import UserError, command
from common.files import atomic_write
from common.recognition.classifier import CARD, Classifier, read_card
from common.recognition.decision import Parameters
from data.dataset import read_named
from models.evaluation import calibration, provenance
from models.simulation.pipeline import SimulatedStream, simulate_stream

SEEDS = range(3)  # orders of the sequences, and rests


def tune(arguments: argparse.Namespace) -> None:
    """The command; raises UserError."""
    card, sequences = read_card(arguments.model), list(read_named(arguments.dataset, arguments.fps).values())
    provenance.check_labels({sequence.label for sequence in sequences}, card.labels)
    for caution in provenance.cautions(card, sequences):
        print(f"Note: {caution}", file=sys.stderr)
    classify, body = Classifier(arguments.model), card.features.whole_body
    with Console(stderr=True).status("Watching streams ..."):
        streams: list[SimulatedStream] = [
            simulate_stream(
                classify, card.labels, card.idle, card.window, sequences, whole_body=body, stride=1, seed=seed
            )
            for seed in SEEDS
        ]
    fitted = calibration.decision(streams, card.idle)
    before, after = (_told(streams, card.idle, parameters) for parameters in (card.decision, fitted))
    if after <= before:
        print(f"{arguments.model} stays as it is: nothing that was tried is better.")
        return
    path = arguments.model / CARD
    try:
        atomic_write(
            path, msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(card, decision=fitted))) + b"\n"
        )
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error
    print(f"{path}: {', '.join(f'{name} {value:g}' for name, value in msgspec.structs.asdict(fitted).items())}")


def _told(streams: list[SimulatedStream], idle: list[str], parameters: Parameters) -> float:
    """What the parameters are worth."""
    f1, false_per_minute = calibration.quality(streams, idle, parameters)
    found = f"event F1 {f1:.3f}, {false_per_minute:.2f} false actions a minute"
    print(f"enter {parameters.enter:g}, leave {parameters.leave:g}: {found}")
    return calibration.worth(f1, false_per_minute)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m models.tune_decision",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, help="a model folder")
    parser.add_argument("dataset", type=Path, help="a data set in any layout, of people the model has not seen")
    parser.add_argument("--fps", type=float, default=25.0, help="rate of recordings that do not say theirs (25)")
    arguments = parser.parse_args()
    with command():
        tune(arguments)


if __name__ == "__main__":
    main()
