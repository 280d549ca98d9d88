"""Data sets in, a model folder out.

    python -m models.train data/mine --out models/mine

Every window of a sequence that the live windows stage would cut is an example of its label; where nothing is performed
is learnt as well. Parts of the data, of whole recorders where there are several, are each told by a network that was
taught the others: this says how good the model is on people it has not seen, when to stop, and how sure to be. Then all
are learnt. The same command goes on where it was interrupted.
"""

import argparse
import shutil
from pathlib import Path

from common.errors import command
from data import dataset
from models.evaluation import provenance
from models.storage.folder import check_free, new_model_folder, printable, work_dir
from models.training.arguments import options, planned
from models.training.card import save, told
from models.training.fit import LOGS
from models.training.progress import shown
from models.training.recipe import KINDS, Recipe
from models.training.trainer import Course


def train(arguments: argparse.Namespace) -> None:
    """The command; raises UserError."""
    plan = planned(arguments)
    check_free(arguments.out)
    sequences = [sequence for folder in arguments.datasets for sequence in dataset.read(folder)]
    course = Course(sequences, plan)
    with work_dir(arguments.out, provenance.run_key(plan, sequences)) as folder, shown() as progress:
        taught = course.teach(folder, progress)
        with new_model_folder(arguments.out) as draft:
            save(draft, course, taught, [printable(source.name) for source in arguments.datasets])
            for logs in folder.glob(f"*/{LOGS}"):
                shutil.move(logs, draft / LOGS / logs.parent.name)
    told(arguments.out, taught)


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
