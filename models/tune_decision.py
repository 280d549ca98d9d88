"""Tune a model's decision parameters on sequences it was not trained on.

    python -m models.tune_decision runs/mine datasets/others

The sequences are joined to continuous streams, as in models.evaluate. The parameters are written into the model's card
if they are better than those that it has.
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

SEEDS = range(3)  # of the streams: the order of sequences, and idleness


def run(args: argparse.Namespace) -> None:
    """Run the command; raises UserError."""
    card, sequences = read_card(args.model), list(read_named(args.dataset, args.fps).values())
    provenance.check_labels({sequence.label for sequence in sequences}, card.labels)
    for warning in provenance.warnings(card, sequences):
        print(f"Warning: {warning}", file=sys.stderr)
    classify, body = Classifier(args.model), card.features.whole_body
    with Console(stderr=True).status("Simulating streams ..."):
        streams: list[SimulatedStream] = [
            simulate_stream(
                classify, card.labels, card.idle, card.window, sequences, whole_body=body, stride=1, seed=seed
            )
            for seed in SEEDS
        ]
    fitted = calibration.fit_decision(streams, card.idle)
    before, after = (_objective(streams, card.idle, parameters) for parameters in (card.decision, fitted))
    if after <= before:
        print(f"{args.model} stays as it is: its parameters are the best.")
        return
    path = args.model / CARD
    try:
        atomic_write(
            path, msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(card, decision=fitted))) + b"\n"
        )
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error
    print(f"{path}: {', '.join(f'{name} {value:g}' for name, value in msgspec.structs.asdict(fitted).items())}")


def _objective(streams: list[SimulatedStream], idle: list[str], parameters: Parameters) -> float:
    """Print the metrics of the parameters, and return their objective."""
    f1, false_positives = calibration.stream_metrics(streams, idle, parameters)
    reached = f"segmental F1@0.5 IoU {f1:.3f}, {false_positives:.2f} false positives per minute"
    print(f"start_threshold {parameters.start_threshold:g}, end_threshold {parameters.end_threshold:g}: {reached}")
    return calibration.objective(f1, false_positives)


def main() -> None:
    """Parse the command line and run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m models.tune_decision",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, help="a model folder")
    parser.add_argument("dataset", type=Path, help="a data set in any format, of people the model was not trained on")
    parser.add_argument("--fps", type=float, default=25.0, help="frames/s of recordings that do not name theirs (25)")
    args = parser.parse_args()
    with command():
        run(args)


if __name__ == "__main__":
    main()
