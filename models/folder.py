"""A model folder to be written in; the whole folder, or nothing, out."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from common.classifier import CARD, Card
from common.errors import UserError


@contextlib.contextmanager
def written(out: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `out` when the block is done, and is gone if it fails.

    Raises UserError if `out` is there already or cannot be written.
    """
    if out.exists():
        raise UserError(f"{out} is there already: choose another --out, or remove it.")
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


def write_card(folder: Path, card: Card) -> None:
    """Last of all: a folder without a card is no model."""
    (folder / CARD).write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")
