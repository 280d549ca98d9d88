"""Read or make the token of the bus: a secret in a file that only its user can read."""

import os
import secrets
import stat
import tempfile
from pathlib import Path
from typing import Final

from .errors import BusError

FILE_VARIABLE: Final = "ACTIONSTREAM__BUS__TOKEN_FILE"
PLACES: Final = f"file in bus.token_file or {FILE_VARIABLE}"
LENGTHS: Final = range(16, 256)  # characters; a password of ZMTP's PLAIN mechanism has 255 at most


def token_path(chosen: str | None = None) -> Path:
    """Return the path of the token: as chosen (bus.token_file), else from the environment, else in the state folder.

    Raises:
        BusError: It begins with the home folder of an unknown user.
    """
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    path = Path(chosen or os.environ.get(FILE_VARIABLE) or Path(state, "actionstream", "token"))
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise BusError(f"The bus's token {path} is in no user's home: name another {PLACES}.") from error


def read_token(path: Path) -> bytes:
    """Read the token, and make one if there is none.

    Raises:
        BusError: It cannot be read or made, other users can read it, or it is malformed.
    """
    try:
        if not path.exists():
            _make(path)
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            token = file.read(LENGTHS.stop + 1).strip()
    except OSError as error:
        raise BusError(
            f"The bus's token {path} cannot be read or made ({error.strerror}): name another {PLACES}."
        ) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise BusError(f"Other users can read the bus's token {path} (mode {mode:04o}): chmod 600 it, or delete it.")
    if len(token) not in LENGTHS or not token.isalnum():
        raise BusError(f"{path} is not a token of the bus (16 to 255 letters and digits): delete it for a new one.")
    return token


def _make(path: Path) -> None:
    """Make a token atomically, without replacing one: processes that start together all read that of the first."""
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
