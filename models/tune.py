"""Data sets in; the model folder of the best recipe that a search has found, out.

    python -m models.tune data/mine --out models/mine --trials 30

Each trial validates another recipe as models.train does; the first is the default one. The lowest loss wins: accuracy
on so few sequences moves in steps and is often the same for many recipes, while loss also counts how sure a model was
where it was wrong. A trial whose first network does worse than the median of the others is given up. The same command
goes on where it was interrupted; with --study, one with more --trials and another --out adds to them.

The best of many trials is partly luck: judge the model on others, with models.evaluate or models.compare.
"""

import argparse
import contextlib
import math
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from common.errors import UserError, command
from common.files import atomic_write
from data import dataset
from models.evaluation import provenance
from models.storage.folder import check_free, new_model_folder, printable, work_dir
from models.training.arguments import options, planned
from models.training.card import save, told
from models.training.progress import Progress, shown
from models.training.recipe import NETWORKS, Recipe
from models.training.trainer import VALIDATED, Course, Plan

ALL: Final = "all"
STUDY: Final = "study.db"
DONE: Final = (TrialState.COMPLETE, TrialState.PRUNED)
PARTS: Final = 10  # of a network's epochs, after which a trial may be given up
JUDGED_FROM: Final = 3  # of these: before, its rate of learning has hardly risen
COMPARED: Final = 5  # trials, before any is given up


def tune(arguments: argparse.Namespace) -> None:
    """The command; raises UserError."""
    plan = planned(arguments)
    kinds = kinds_of(arguments.kind, plan.recipe)
    check_free(arguments.out)
    sequences = [sequence for folder in arguments.datasets for sequence in dataset.read(folder)]
    course = Course(sequences, plan)
    state = provenance.run_key((plan, kinds), sequences)
    with work_dir(arguments.out, state) as folder:
        with opened(arguments.study or folder / STUDY, state) as study:
            search(study, course, kinds, arguments.trials)
            best, trials = best_of(study), len(study.get_trials(states=DONE))
        place = folder / f"trial-{best.number}"
        place.mkdir(exist_ok=True)
        atomic_write(place / VALIDATED, best.user_attrs[VALIDATED].encode())  # where the course goes on
        course = course.by(recipe_of(best.params, plan.recipe))
        with shown() as progress:
            taught = course.teach(place, progress)
        with new_model_folder(arguments.out) as draft:
            save(draft, course, taught, [printable(source.name) for source in arguments.datasets], trials=trials)
    told(arguments.out, taught)


def kinds_of(wanted: str, recipe: Recipe) -> list[str]:
    """The kinds of network to search among; raises UserError for the notebook's, whose recipe is fixed."""
    kinds = NETWORKS if wanted == ALL else (wanted,)
    free = [kind for kind in kinds if not msgspec.structs.replace(recipe, kind=kind).is_notebooks]
    if not free:
        raise UserError(
            f"--kind {wanted} on raw features is the notebook's recipe, which is fixed: take body features."
        )
    return free


@contextlib.contextmanager
def opened(path: Path, name: str) -> Iterator[optuna.Study]:
    """The study of that name in a file, with the trials it has already; raises UserError if it cannot be."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=COMPARED, n_warmup_steps=JUDGED_FROM)
    try:
        # The file by `creator`: in an address, some letters of its name would mean something else.
        storage = optuna.storages.RDBStorage("sqlite://", engine_kwargs={"creator": lambda: sqlite3.connect(path)})
        study = optuna.create_study(storage=storage, study_name=name, pruner=pruner, load_if_exists=True)
        for killed in study.get_trials(states=[TrialState.RUNNING]):
            study.tell(killed.number, state=TrialState.FAIL)
        yield study
    except (SQLAlchemyError, StorageInternalError) as error:
        why = str(error.__cause__ or error).splitlines()[0]
        raise UserError(f"{path} cannot keep the trials of a study: {why}; choose another --study.") from error


def best_of(study: optuna.Study) -> optuna.trial.FrozenTrial:
    """The trial with the lowest loss; raises UserError where none came to an end."""
    if not study.get_trials(states=[TrialState.COMPLETE]):
        raise UserError("No trial came to a loss that is a number: look at the data with python -m data.inspect.")
    return study.best_trial


def search(study: optuna.Study, course: Course, kinds: list[str], trials: int) -> None:
    """Trials until there are so many, a line for each."""
    while (done := len(study.get_trials(states=DONE))) < trials:
        study.sampler = optuna.samplers.TPESampler(seed=course.plan.seed + done)  # the same however often interrupted
        if not done:
            study.enqueue_trial(default(course.plan.recipe, kinds))
        trial, began = study.ask(), time.monotonic()
        recipe = proposed(trial, course.plan, kinds)
        outcome = tried(study, trial, course.by(recipe))
        print(
            f"trial {done + 1} of {trials}: {outcome}, {time.monotonic() - began:.0f} s: {described(trial)}", flush=True
        )


def tried(study: optuna.Study, trial: optuna.Trial, course: Course) -> str:
    """What came of a trial, in words; it is stored."""
    try:
        with shown() as progress:
            validated = course.validate(progress=Judge(trial, progress))
    except optuna.TrialPruned as pruned:
        study.tell(trial, state=TrialState.PRUNED)
        return f"given up {pruned}"
    trial.set_user_attr(VALIDATED, msgspec.json.encode(validated).decode())
    study.tell(trial, validated.metrics["loss"])
    return f"loss {validated.metrics['loss']:.3f}, accuracy {validated.metrics['accuracy']:.3f}"


class Judge:
    """A Progress that shows the epochs of a trial, and ends one that is worse than most."""

    def __init__(self, trial: optuna.Trial, progress: Progress) -> None:
        self._trial, self._progress, self._networks, self._part = trial, progress, 0, 0

    def __call__(self, done: int, total: int, loss: float | None) -> None:
        """Judges the first network of a course by its loss on the validation part; raises TrialPruned.

        It does so at tenths of the trial's own epochs, since over them its rate of learning falls.
        """
        self._progress(done, total, loss)
        assert loss is not None  # a course without a validation part has no trials
        self._networks += done == 1
        where = f"after {done} of {total} epochs at loss {loss:.3f}"
        if not math.isfinite(loss):
            raise optuna.TrialPruned(where)
        part = PARTS * done // total
        if self._networks == 1 and part > self._part:
            self._part = part
            self._trial.report(loss, part)
            if part < PARTS and self._trial.should_prune():
                raise optuna.TrialPruned(where)


def proposed(trial: optuna.Trial, plan: Plan, kinds: list[str]) -> Recipe:
    """What is searched, and where; features stay, since lessons are made of them."""
    most = plan.recipe.epochs
    trial.suggest_categorical("kind", kinds)
    trial.suggest_int("width", 16, 128, step=16)
    trial.suggest_float("dropout", 0.0, 0.7)
    trial.suggest_float("rate", 3e-4, 1e-2, log=True)
    trial.suggest_float("decay", 1e-3, 0.5, log=True)
    trial.suggest_float("smoothing", 0.0, 0.2)
    trial.suggest_int("epochs", max(1, most // 3), most)
    return recipe_of(trial.params, plan.recipe)


def recipe_of(params: dict[str, Any], recipe: Recipe) -> Recipe:
    return msgspec.structs.replace(recipe, **params)


def default(recipe: Recipe, kinds: list[str]) -> dict[str, Any]:
    """The recipe as models.train has it: the search ends no worse."""
    fields = ("width", "dropout", "rate", "decay", "smoothing", "epochs")
    kind = recipe.kind if recipe.kind in kinds else kinds[0]
    return {"kind": kind, **{field: getattr(recipe, field) for field in fields}}


def described(trial: optuna.Trial) -> str:
    values = ((name, value) for name, value in trial.params.items() if name != "kind")
    return f"{trial.params['kind']}, " + ", ".join(f"{name} {value:.3g}" for name, value in values)


def check(arguments: argparse.Namespace) -> None:
    """Raises UserError for an option that will not do."""
    if arguments.trials < 1:
        raise UserError(f"--trials {arguments.trials} will not do: it must be 1 or more.")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m models.tune", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", type=Path, nargs="+", metavar="DATASET")
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    parser.add_argument("--trials", type=int, default=30, help="recipes to try, of all runs (30)")
    parser.add_argument("--kind", choices=(*NETWORKS, ALL), default=Recipe().kind, help=f"of network ({Recipe().kind})")
    parser.add_argument(
        "--study", type=Path, metavar="FILE", help="where trials are kept (beside --out, until it is done)"
    )
    parser.set_defaults(model=Recipe().kind)
    options(parser)
    arguments = parser.parse_args()
    with command("Interrupted: the same command goes on from here."):
        check(arguments)
        tune(arguments)


if __name__ == "__main__":
    main()
