"""The secret that lets a process onto the bus: in a file of its user's, made by whoever needs it first."""

import os
import secrets
import stat
import tempfile
from pathlib import Path
from typing import Final

from common.errors import UserError

FILE_VARIABLE: Final = "ACTIONSTREAM__BUS__TOKEN_FILE"
PLACES: Final = f"file in bus.token_file or {FILE_VARIABLE}"
LENGTHS: Final = range(16, 256)  # characters; a password of ZMTP's PLAIN has 255 at most


def token_path(chosen: str | None = None) -> Path:
    """The file: as chosen (bus.token_file), else as the environment says, else in the user's own folder for state."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    path = Path(chosen or os.environ.get(FILE_VARIABLE) or Path(state, "actionstream", "token"))
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise UserError(f"No such home for the bus's token {path}: name another {PLACES}.") from error


def read_token(path: Path) -> bytes:
    """The token, made where there is none yet; raises UserError where it cannot be had, or is no secret."""
    try:
        if not path.exists():
            _make(path)
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            token = file.read(LENGTHS.stop + 1).strip()
    except OSError as error:
        raise UserError(
            f"The bus's token {path} cannot be read or made ({error.strerror}): name another {PLACES}."
        ) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UserError(f"Others can read the bus's token {path} (mode {mode:04o}): chmod 600 it, or delete it.")
    if len(token) not in LENGTHS or not token.isalnum():
        raise UserError(f"{path} holds no token of the bus (16 to 255 letters and digits): delete it for a new one.")
    return token


def _make(path: Path) -> None:
    """Whole or not at all, and never over another's: of several processes at once, all read that of the first."""
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32) + "\n")
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(draft)
