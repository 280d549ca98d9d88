"""Recognise Git LFS pointers, the few lines of text that stand for a file that was not downloaded."""

import contextlib
from pathlib import Path
from typing import Final

from common.errors import UserError

FIRST_LINE: Final = b"version https://git-lfs.github.com/spec/"


def refuse_pointer(path: Path) -> None:
    """Raise UserError if the file is a pointer, whatever its name; a file that cannot be read is ignored here."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        if file.read(len(FIRST_LINE)) == FIRST_LINE:
            raise UserError(
                f"{path} is a Git LFS pointer, not the file itself: run git lfs pull in a clone of its repository."
            )
