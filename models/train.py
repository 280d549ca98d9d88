"""Train a model from data sets.

    python -m models.train datasets/mine --out runs/mine

Runs cross-validation, grouped by subject if there are several, which measures the model on people it was not trained
on, and fits the number of epochs, the temperature of probabilities and the thresholds of the decision. Then the model
is fitted to all data. Resumable: an interrupted command continues when it is run again.
"""

import argparse
import shutil
from pathlib import Path

from common.errors import command
from data import dataset
from models.evaluation import provenance
from models.storage.folder import check_free, new_model_folder, printable, work_dir
from models.training.arguments import add_options, config_from_args
from models.training.card import print_summary, save
from models.training.fit import LOGS
from models.training.progress import progress_bar
from models.training.recipe import ARCHITECTURES, Recipe
from models.training.trainer import Trainer


def run(args: argparse.Namespace) -> None:
    """Run the command; raises UserError."""
    config = config_from_args(args)
    check_free(args.out)
    sequences = [sequence for folder in args.datasets for sequence in dataset.read(folder)]
    trainer = Trainer(sequences, config)
    with work_dir(args.out, provenance.run_key(config, sequences)) as checkpoints, progress_bar() as progress:
        model = trainer.fit(checkpoints, progress)
        with new_model_folder(args.out) as draft:
            save(draft, model, sources=[printable(source.name) for source in args.datasets])
            for logs in checkpoints.glob(f"*/{LOGS}"):
                shutil.move(logs, draft / LOGS / logs.parent.name)
    print_summary(args.out, model.card)


def main() -> None:
    """Parse the command line and run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m models.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", type=Path, nargs="+", metavar="DATASET")
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    default = Recipe().architecture
    parser.add_argument("--architecture", choices=ARCHITECTURES, default=default, help=f"({default})")
    add_options(parser)
    args = parser.parse_args()
    with command("Interrupted: run the same command again to resume."):
        run(args)


if __name__ == "__main__":
    main()
