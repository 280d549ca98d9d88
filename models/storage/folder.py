"""A model folder to be written in; the whole folder, or nothing, out."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from common.errors import UserError
from common.recognition.classifier import CARD, Card


@contextlib.contextmanager
def written(out: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `out` when the block is done, and is gone if it fails.

    Raises UserError if `out` is there already or cannot be written.
    """
    check_free(out)
    draft = out.with_name(out.name + ".part")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        yield draft
        draft.rename(out)
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextlib.contextmanager
def desk(out: Path, work: str) -> Iterator[Path]:
    """A folder for what is needed until `out` is written; it stays when the block fails, for the same work to go on.

    work: says what is done; what was left by other work is removed. Raises UserError if somebody is at it.
    """
    folder = out.with_name(out.name + ".training")
    label, inner = folder / "work", folder / "desk"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with label.open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if label.read_text() != work:
                shutil.rmtree(inner, ignore_errors=True)
                label.write_text(work)
            inner.mkdir(exist_ok=True)
            yield inner
            shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        raise UserError(f"{out} is being trained by another process: wait for it, or choose another --out.") from None
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror or error}.") from error


def in_text(name: str | Path) -> str:
    """A file's or folder's name, which need not be text, for a card or a table of figures."""
    return os.fsencode(name).decode(errors="replace")


def check_free(out: Path) -> None:
    """Raises UserError if `out` is there already."""
    if out.exists():
        raise UserError(f"{out} is there already: choose another --out, or remove it.")


def write_card(folder: Path, card: Card) -> None:
    """Last of all: a folder without a card is no model."""
    (folder / CARD).write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")
