"""A model folder that somebody may replace in; whether it was replaced, and is complete by now, out."""

import math
from pathlib import Path
from typing import Final

POLL_S: Final = 1.0  # between two looks

WATCHED: Final = ("card.", "model.")  # reports and logs may lie beside them

State = tuple[tuple[str, int, int, int], ...]  # of each file: name, number on the disk, time of change, size


class ModelWatcher:
    """Compares a folder with what it was at the start, or when it was last said to be replaced."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known = self._seen = _state(folder)
        self._looked_s = -math.inf

    def replaced(self, now_s: float) -> bool:
        """True once for each replacement: when two looks a second apart find the folder changed, and alike."""
        if now_s - self._looked_s < POLL_S:
            return False
        before, self._seen, self._looked_s = self._seen, _state(self._folder), now_s
        if self._seen != before or self._seen == self._known:
            return False
        self._known = self._seen
        return True


def _state(folder: Path) -> State:
    try:
        files = [(path.name, path.stat()) for path in sorted(folder.iterdir()) if path.name.startswith(WATCHED)]
    except OSError:  # it is being replaced right now
        return ()
    return tuple((name, found.st_ino, found.st_mtime_ns, found.st_size) for name, found in files)
