"""Write files atomically, append to JSON Lines on disks that fill up, and list files in natural order."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec


def atomic_write(path: Path, content: bytes) -> None:
    """Replace a file atomically: the old content stays until all of `content` is on the disk; raises OSError."""
    draft = path.with_name(path.name + ".part")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def visible_paths(folder: Path) -> Iterator[Path]:
    """Yield all paths below the folder, except hidden files and folders such as macOS puts into archives."""
    for path in folder.rglob("*"):
        if not any(level.startswith(".") for level in path.relative_to(folder).parts):
            yield path


def natural_sort_key(path: Path) -> list[tuple[int, str]]:
    """Return a key for `sorted` that puts frame2 before frame10."""
    return [(int(step), "") if step.isdecimal() else (-1, step) for step in re.split(r"(\d+)", str(path))]


class JsonLinesWriter:
    """Appends records to a JSON Lines file; records that cannot be written stay in memory until the next flush."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pending: list[bytes] = []
        self._file = path.open("ab+", buffering=0)
        self._truncate_partial_line()

    def _truncate_partial_line(self) -> None:
        """Remove the partial last line that a process killed during a write leaves."""
        self._file.seek(0)
        content = self._file.read()
        self._file.truncate(content.rfind(b"\n") + 1)

    def add(self, record: Any) -> None:
        """Queue a record, anything that msgspec can encode; `flush` writes it."""
        self._pending.append(msgspec.json.encode(record) + b"\n")

    def records(self) -> Iterator[Any]:
        """Yield the decoded records of the file."""
        self._file.seek(0)
        for line in self._file.read().splitlines():
            yield msgspec.json.decode(line)

    def remove(self, stream: str) -> None:
        """Remove a stream's records, written or pending; raises OSError and leaves the file unchanged."""
        lines = [*self.path.read_bytes().splitlines(keepends=True), *self._pending]
        kept = b"".join(line for line in lines if msgspec.json.decode(line)["stream"] != stream)
        if kept:
            atomic_write(self.path, kept)
            self._file.close()
            self._file = self.path.open("ab+", buffering=0)
        else:
            self._file.truncate(0)  # needs no space, so it works on a full disk too
        self._pending.clear()

    @property
    def pending(self) -> int:
        """The number of records that are not written yet."""
        return len(self._pending)

    def flush(self) -> None:
        """Write all pending records or none; raises OSError and leaves the file unchanged."""
        if not self._pending:
            return
        data, size = b"".join(self._pending), self.path.stat().st_size
        try:
            written = 0
            while written < len(data):  # a disk that fills up writes a part first
                written += self._file.write(data[written:])
        except OSError:
            self._file.truncate(size)
            raise
        self._pending.clear()

    def close(self) -> None:
        """Close the file; records that were not flushed are lost."""
        self._file.close()
