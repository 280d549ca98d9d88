"""Write model folders atomically, and keep the state of resumable work beside them."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from common.errors import UserError
from common.recognition.classifier import CARD, ModelCard


@contextlib.contextmanager
def new_model_folder(out: Path) -> Iterator[Path]:
    """Yield a draft folder that becomes `out` when the block ends, and is removed if it fails.

    Raises UserError if `out` exists or cannot be written.
    """
    check_free(out)
    draft = out.with_name(out.name + ".part")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        yield draft
        draft.rename(out)
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror or error}; choose another --out.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextlib.contextmanager
def work_dir(out: Path, run_key: str) -> Iterator[Path]:
    """Yield a folder for the state of a run that writes `out`; it is removed when the block ends, and kept if it fails.

    run_key: identifies the run; the state of another one is removed. Raises UserError if another process uses it.
    """
    folder = out.with_name(out.name + ".training")
    key, inner = folder / "run_key", folder / "checkpoints"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with key.open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if key.read_text() != run_key:
                shutil.rmtree(inner, ignore_errors=True)
                key.write_text(run_key)
            inner.mkdir(exist_ok=True)
            yield inner
            shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        raise UserError(f"{out} is being trained by another process: wait for it, or choose another --out.") from None
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror or error}; choose another --out.") from error


def printable(name: str | Path) -> str:
    """Return a file's or folder's name as text, which it need not be, for a card or JSON."""
    return os.fsencode(name).decode(errors="replace")


def check_free(out: Path) -> None:
    """Raise UserError if `out` exists."""
    if out.exists():
        raise UserError(f"{out} is there already: choose another --out, or remove it.")


def write_card(folder: Path, card: ModelCard) -> None:
    """Write the card, after all other files: a folder without a card is no model folder."""
    (folder / CARD).write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")
