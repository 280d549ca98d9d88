"""Adapt a model to a few sequences of your own, and to new labels.

    python -m models.adapt pretrained/starter datasets/me --out runs/me

Three sequences of an action are enough, and not every action needs some. The model is fine-tuned on them together with
windows that its folder keeps of its own training, so that it forgets little. It takes up to a minute.
"""

import argparse
from pathlib import Path

from common.errors import UserError, command
from common.recognition.classifier import read_card
from data import dataset
from models.storage.folder import check_free, new_model_folder
from models.training.adaptation import adapt
from models.training.card import save


def run(args: argparse.Namespace) -> None:
    """Run the command; raises UserError."""
    check_free(args.out)
    if not 0 <= args.seed < 2**32:
        raise UserError(f"--seed {args.seed} is not valid: give 0 or more.")
    sequences = [sequence for folder in args.datasets for sequence in dataset.read(folder)]
    adapted = adapt(args.model, sequences, args.seed)
    with new_model_folder(args.out) as draft:
        save(draft, adapted)
    new_labels = sorted(set(adapted.card.labels) - set(read_card(args.model).labels))
    print(
        f"{args.out}: fine-tuned on {len(sequences)} sequences, new labels: {', '.join(new_labels) or 'none'}; "
        f"rehearsal accuracy {100 * adapted.card.metrics['rehearsal_accuracy']:.1f} %"
    )


def main() -> None:
    """Parse the command line and run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m models.adapt", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="a model folder with a network that was trained here")
    parser.add_argument("datasets", type=Path, nargs="+", metavar="DATASET", help="the new sequences")
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (0)")
    args = parser.parse_args()
    with command("Interrupted: nothing was written."):
        run(args)


if __name__ == "__main__":
    main()
