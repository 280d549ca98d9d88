"""Write a trained model and its card into a folder."""

import contextlib
import platform
import subprocess
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from common.keypoints.landmarks import LAYOUT
from common.recognition.classifier import Card
from common.recording.sequence import KeypointSequence
from models.evaluation import provenance
from models.simulation import pipeline
from models.storage.folder import write_card
from models.training.trainer import Course, Taught


def save(folder: Path, course: Course, taught: Taught, sources: list[str], **more: Any) -> None:
    """Everything but the logs of its training into a model folder; `more` is what its card says of its data."""
    taught.trained.save(folder)
    course.keep_memory(folder)
    write_card(folder, card_of(taught, list(course.sequences), sources, **more))


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
        layers=taught.trained.architecture,
        parameters=taught.trained.parameters,
        data={
            "sources": sources,
            "sha256": provenance.digest(sequences),
            "fingerprints": [provenance.fingerprint(sequence) for sequence in sequences],
            "parts": pipeline.parts_present(sequences),
            "sequences": len(sequences),
            "subjects": sorted({sequence.subject for sequence in sequences}),
            **more,
        },
        metrics={
            "validation": validated.metrics,
            "split": f"{validated.parts}-fold cross-validation",
            "subject_independent": validated.unseen,
            "accuracy_by_subject": validated.recorders,
        },
        seed=plan.seed,
        recipe=msgspec.to_builtins(plan.recipe),
        versions={"python": platform.python_version(), **versions()},
        commit=commit(),
        trained=datetime.now(timezone.utc).date().isoformat(),
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


def told(out: Path, taught: Taught) -> None:
    metrics, who = taught.validated.metrics, len(taught.validated.recorders)
    on = f"{who} recorders, each unseen" if taught.validated.unseen else "sequences it had not seen"
    print(
        f"{out}: on {on} until it learnt them too, accuracy {metrics['accuracy']:.3f}, loss {metrics['loss']:.3f}, "
        f"calibration error {metrics['calibration_error']:.3f}; on a stream, segmental F1 "
        f"{metrics['segmental_f1']:.3f} with {metrics['false_positives_per_minute']:.2f} false positives per minute."
    )
