"""Detect that a model folder was replaced, and that the new one is complete."""

import math
from pathlib import Path
from typing import Final

POLL_S: Final = 1.0  # between two checks

WATCHED: Final = ("card.", "model.")  # reports and logs may lie beside them

State = tuple[tuple[str, int, int, int], ...]  # of each file: name, inode, time of change, size


class ModelWatcher:
    """Compares a folder with its state at the start, or at the last replacement."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known = self._last = _state(folder)
        self._checked_s = -math.inf

    def replaced(self, now_s: float) -> bool:
        """Return True once for each replacement, when two checks a second apart find the same new state."""
        if now_s - self._checked_s < POLL_S:
            return False
        before, self._last, self._checked_s = self._last, _state(self._folder), now_s
        if self._last != before or self._last == self._known:
            return False
        self._known = self._last
        return True


def _state(folder: Path) -> State:
    try:
        files = [(path.name, path.stat()) for path in sorted(folder.iterdir()) if path.name.startswith(WATCHED)]
    except OSError:  # it is being replaced right now
        return ()
    return tuple((name, found.st_ino, found.st_mtime_ns, found.st_size) for name, found in files)
