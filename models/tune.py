"""Search for the best recipe, and train a model by it.

    python -m models.tune datasets/mine --out runs/mine --trials 30

Each trial cross-validates another recipe as models.train does; the first is the default one. The lowest loss wins:
accuracy on so few sequences moves in steps and is often the same for many recipes, while loss also measures confidence
in errors. A trial whose first network is worse than the median of the others is pruned. Resumable: an interrupted
command continues when it is run again; with --study, one with more --trials and another --out adds to them.

The best of many trials is partly luck: evaluate the model on other data, by models.evaluate or models.compare.
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
from models.training.arguments import add_options, config_from_args
from models.training.card import print_summary, save
from models.training.progress import Progress, progress_bar
from models.training.recipe import NETWORKS, Recipe, TrainingConfig
from models.training.trainer import VALIDATION, Trainer

STUDY: Final = "study.db"
DONE: Final = (TrialState.COMPLETE, TrialState.PRUNED)
STEPS: Final = 10  # of a network's epochs, after which a trial may be pruned
WARM_UP_STEPS: Final = 3  # before, the learning rate has hardly risen
STARTUP_TRIALS: Final = 5  # before any is pruned


def run(args: argparse.Namespace) -> None:
    """Run the command; raises UserError."""
    config = config_from_args(args)
    architectures = search_space(args.architectures, config.recipe)
    check_free(args.out)
    sequences = [sequence for folder in args.datasets for sequence in dataset.read(folder)]
    trainer = Trainer(sequences, config)
    key = provenance.run_key((config, architectures), sequences)
    with work_dir(args.out, key) as folder:
        with open_study(args.study or folder / STUDY, key) as study:
            search(study, trainer, architectures, args.trials)
            best, trials = best_of(study), len(study.get_trials(states=DONE))
        checkpoints = folder / f"trial-{best.number}"
        checkpoints.mkdir(exist_ok=True)
        atomic_write(checkpoints / VALIDATION, best.user_attrs[VALIDATION].encode())  # what fit resumes from
        with progress_bar() as progress:
            model = trainer.with_recipe(recipe_of(best.params, config.recipe)).fit(checkpoints, progress)
        with new_model_folder(args.out) as draft:
            save(draft, model, sources=[printable(source.name) for source in args.datasets], trials=trials)
    print_summary(args.out, model.card)


def search_space(architectures: list[str], recipe: Recipe) -> list[str]:
    """Return the architectures to search; raises UserError for the notebook baseline, whose recipe is fixed."""
    free = [one for one in architectures if not msgspec.structs.replace(recipe, architecture=one).is_notebook_baseline]
    if not free:
        raise UserError(
            f"--architectures {' '.join(architectures)} with raw features is the notebook baseline, whose recipe is "
            "fixed: use --features body."
        )
    return free


@contextlib.contextmanager
def open_study(path: Path, name: str) -> Iterator[optuna.Study]:
    """Open or create the study of that name in a file; raises UserError if the file cannot hold it."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=WARM_UP_STEPS)
    try:
        # The file by `creator`: in a URL, some characters of its name would mean something else.
        storage = optuna.storages.RDBStorage("sqlite://", engine_kwargs={"creator": lambda: sqlite3.connect(path)})
        study = optuna.create_study(storage=storage, study_name=name, pruner=pruner, load_if_exists=True)
        for killed in study.get_trials(states=[TrialState.RUNNING]):
            study.tell(killed.number, state=TrialState.FAIL)
        yield study
    except (SQLAlchemyError, StorageInternalError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise UserError(f"{path} cannot store a study: {reason}; choose another --study.") from error


def best_of(study: optuna.Study) -> optuna.trial.FrozenTrial:
    """Return the trial with the lowest loss; raises UserError where none is complete."""
    if not study.get_trials(states=[TrialState.COMPLETE]):
        raise UserError("No trial reached a finite loss: check the data with python -m data.inspect.")
    return study.best_trial


def search(study: optuna.Study, trainer: Trainer, architectures: list[str], trials: int) -> None:
    """Run trials until there are so many, and print a line for each."""
    while (done := len(study.get_trials(states=DONE))) < trials:
        study.sampler = optuna.samplers.TPESampler(seed=trainer.config.seed + done)  # the same however often resumed
        if not done:
            study.enqueue_trial(default_params(trainer.config.recipe, architectures))
        trial, started = study.ask(), time.monotonic()
        recipe = suggest(trial, trainer.config, architectures)
        outcome = run_trial(study, trial, trainer.with_recipe(recipe))
        print(
            f"trial {done + 1} of {trials}: {outcome}, {time.monotonic() - started:.0f} s: {params_text(trial)}",
            flush=True,
        )


def run_trial(study: optuna.Study, trial: optuna.Trial, trainer: Trainer) -> str:
    """Cross-validate a recipe, store the result, and return a text of it."""
    try:
        with progress_bar() as progress:
            validation = trainer.validate(progress=PruningCallback(trial, progress))
    except optuna.TrialPruned as pruned:
        study.tell(trial, state=TrialState.PRUNED)
        return f"pruned {pruned}"
    trial.set_user_attr(VALIDATION, msgspec.json.encode(validation).decode())
    study.tell(trial, validation.metrics["loss"])
    return f"loss {validation.metrics['loss']:.3f}, accuracy {validation.metrics['accuracy']:.3f}"


class PruningCallback:
    """A Progress that shows the epochs of a trial, and ends one that is worse than most."""

    def __init__(self, trial: optuna.Trial, progress: Progress) -> None:
        self._trial, self._progress, self._networks, self._step = trial, progress, 0, 0

    def __call__(self, done: int, total: int, loss: float | None) -> None:
        """Compare the validation loss of a trial's first network with other trials; raises TrialPruned.

        It does so at tenths of the trial's own epochs, since the learning rate falls over them.
        """
        self._progress(done, total, loss)
        loss = math.nan if loss is None else loss
        self._networks += done == 1
        where = f"after {done} of {total} epochs at loss {loss:.3f}"
        if not math.isfinite(loss):
            raise optuna.TrialPruned(where)
        step = STEPS * done // total
        if self._networks == 1 and step > self._step:
            self._step = step
            self._trial.report(loss, step)
            if step < STEPS and self._trial.should_prune():
                raise optuna.TrialPruned(where)


def suggest(trial: optuna.Trial, config: TrainingConfig, architectures: list[str]) -> Recipe:
    """Suggest a recipe; its features stay, since the training set consists of them."""
    most = config.recipe.epochs
    trial.suggest_categorical("architecture", architectures)
    trial.suggest_int("hidden_size", 16, 128, step=16)
    trial.suggest_float("dropout", 0.0, 0.7)
    trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True)
    trial.suggest_float("weight_decay", 1e-3, 0.5, log=True)
    trial.suggest_float("label_smoothing", 0.0, 0.2)
    trial.suggest_int("epochs", max(1, most // 3), most)
    return recipe_of(trial.params, config.recipe)


def recipe_of(params: dict[str, Any], recipe: Recipe) -> Recipe:
    """Return the recipe of a trial's parameters."""
    return msgspec.structs.replace(recipe, **params)


def default_params(recipe: Recipe, architectures: list[str]) -> dict[str, Any]:
    """Return the parameters of the recipe of models.train, so that the search ends no worse."""
    fields = ("hidden_size", "dropout", "learning_rate", "weight_decay", "label_smoothing", "epochs")
    architecture = recipe.architecture if recipe.architecture in architectures else architectures[0]
    return {"architecture": architecture, **{field: getattr(recipe, field) for field in fields}}


def params_text(trial: optuna.Trial) -> str:
    """Return a text of a trial's parameters."""
    values = ((name, value) for name, value in trial.params.items() if name != "architecture")
    return f"{trial.params['architecture']}, " + ", ".join(f"{name} {value:.3g}" for name, value in values)


def check(args: argparse.Namespace) -> None:
    """Raise UserError for an invalid option."""
    if args.trials < 1:
        raise UserError(f"--trials {args.trials} is not valid: give 1 or more.")


def main() -> None:
    """Parse the command line and run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m models.tune", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", type=Path, nargs="+", metavar="DATASET")
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    parser.add_argument("--trials", type=int, default=30, help="recipes to try, of all runs (30)")
    default = Recipe().architecture
    names = ", ".join(NETWORKS)
    parser.add_argument(
        "--architectures",
        nargs="+",
        metavar="NAME",
        choices=NETWORKS,
        default=[default],
        help=f"of {names} ({default})",
    )
    parser.add_argument(
        "--study", type=Path, metavar="FILE", help="where trials are kept (beside --out, until it is done)"
    )
    parser.set_defaults(architecture=default)
    add_options(parser)
    args = parser.parse_args()
    with command("Interrupted: run the same command again to resume."):
        check(args)
        run(args)


if __name__ == "__main__":
    main()
