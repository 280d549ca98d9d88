"""Where on this host a user's pipelines keep what outlives a process: a folder that only its user can read."""

import os
from pathlib import Path


def state_folder() -> Path:
    """`actionstream` in the user's folder for states, made if need be; raises OSError."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    folder = Path(base) / "actionstream"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
