"""A model and a few examples of one's own in; a model that knows one's way of doing it, and new labels, out.

    python -m models.adapt pretrained/starter data/me --out models/mine

Three examples of an action are enough, and not every action needs them: the model learns them together with what it
keeps of its own lessons, so that it forgets little. It takes seconds.
"""

import argparse
from pathlib import Path

from common.errors import UserError, command
from common.recognition.classifier import read_card
from data import dataset
from models.storage.folder import check_free, new_model_folder, write_card
from models.training.adaptation import adapt
from models.training_data import rehearsal


def command_line(arguments: argparse.Namespace) -> None:
    """The command; raises UserError."""
    check_free(arguments.out)
    if not 0 <= arguments.seed < 2**32:
        raise UserError(f"--seed {arguments.seed} will not do: it must be 0 or more.")
    sequences = [sequence for folder in arguments.datasets for sequence in dataset.read(folder)]
    adapted = adapt(arguments.model, sequences, arguments.seed)
    with new_model_folder(arguments.out) as draft:
        adapted.trained.save(draft)
        rehearsal.save(draft, adapted.lessons, arguments.seed)
        write_card(draft, adapted.card)
    new = set(adapted.card.labels) - set(read_card(arguments.model).labels)
    print(
        f"{arguments.out}: learnt {len(sequences)} sequences, new labels: {', '.join(sorted(new)) or 'none'}; of the "
        f"lessons it was taught before it tells {adapted.kept:.1%} right."
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
