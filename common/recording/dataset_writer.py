"""Add sequences to a native data set atomically, and keep its manifest in line with its files.

    <data set>/<label>/<name>.npz      label may have two levels, as "push up/right"
    <data set>/manifest.jsonl          a line for each file, with what the file does not hold

The files are the truth: opening a data set for writing corrects the manifest by them, see docs/decisions/0009.
"""

import errno
import fcntl
import os
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

import msgspec

from common.errors import UserError
from common.files import atomic_write
from common.labels import checked_label, checked_name
from common.recording import sequence as sequences
from common.recording.sequence import KeypointSequence

MANIFEST: Final = "manifest.jsonl"
LOCK: Final = ".lock"


class ManifestEntry(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A line of the manifest."""

    file: str  # relative to the data set
    label: str
    subject: str
    frames: int
    fps: float  # nominal
    written_at: str = ""  # ISO 8601, UTC
    origin: str = ""  # the video or data set it was made from
    issues: list[str] = []  # reasons not to train on it


class DatasetWriter:
    """A native data set, created if need be and locked for this process; use it in a `with`."""

    def __init__(self, folder: Path) -> None:
        """Open the data set.

        Raises:
            UserError: another process writes to it, the folder cannot be written, or a file in it is no sequence.
        """
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / LOCK).open("ab")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise UserError(f"Another program is writing to the data set {folder}: wait until it has ended.") from None
        except OSError as error:
            raise UserError(f"The data set {folder} cannot be written: {error.strerror}.") from error
        try:
            self.entries = self._reconcile()
        except OSError as error:
            self._lock.close()
            raise UserError(f"The data set {folder} cannot be written: {error.strerror}.") from error
        except UserError:
            self._lock.close()
            raise

    def _reconcile(self) -> dict[str, ManifestEntry]:
        """Remove half-written files and make the manifest list the files that exist; its entries, by file."""
        for draft in self.folder.rglob("*.part"):
            draft.unlink()
        known, entries = read_manifest(self.folder), {}
        for path in sorted(self.folder.rglob("*.npz")):
            file = path.relative_to(self.folder).as_posix()
            entries[file] = known.get(file) or _entry(file, sequences.read(path))
        if entries.keys() != known.keys():
            self._write_manifest(entries.values())
        return entries

    def count(self, label: str, subject: str) -> int:
        """How many sequences of the label are by the subject."""
        return sum(entry.label == label and entry.subject == subject for entry in self.entries.values())

    def next_name(self, label: str, stem: str) -> str:
        """The first of `stem-000`, `stem-001`, ... that no sequence of the label has."""
        taken, number = {Path(entry.file).stem for entry in self.entries.values() if entry.label == label}, 0
        while f"{stem}-{number:03d}" in taken:
            number += 1
        return f"{stem}-{number:03d}"

    def add(self, name: str, sequence: KeypointSequence, *, origin: str = "", issues: Iterable[str] = ()) -> Path:
        """Store a sequence atomically as <label>/<name>.npz, and return its path.

        Raises:
            UserError: the label or name is no valid folder or file name, the file exists, or the disk is full; the
                data set is then as it was.
        """
        file = f"{checked_label(sequence.label)}/{checked_name(name)}.npz"
        path = self.folder / file
        sequences.check_sequence(path, sequence)
        if path.exists():
            raise UserError(f"{path} is there already: choose another data set, or remove it.")
        entry = _entry(file, sequence)
        entry.origin, entry.issues = origin, list(issues)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, sequences.pack(sequence))
            try:
                self._append(entry)
            except OSError:
                path.unlink()
                raise
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}; all earlier sequences are safe.") from error
        self.entries[file] = entry
        return path

    def remove(self, file: str) -> None:
        """Delete a sequence, and the files of the same name beside it, such as its video."""
        for path in list((self.folder / file).parent.iterdir()):
            if path.stem == Path(file).stem:
                path.unlink()
        del self.entries[file]
        self._write_manifest(self.entries.values())

    def _append(self, entry: ManifestEntry) -> None:
        with (self.folder / MANIFEST).open("ab", buffering=0) as manifest:
            line, size = msgspec.json.encode(entry) + b"\n", manifest.seek(0, os.SEEK_END)
            try:
                if manifest.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(manifest.fileno())
            except OSError:
                manifest.truncate(size)
                raise

    def _write_manifest(self, entries: Iterable[ManifestEntry]) -> None:
        atomic_write(self.folder / MANIFEST, b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries))

    def close(self) -> None:
        """Let other processes write to the data set."""
        self._lock.close()

    def __enter__(self) -> "DatasetWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_manifest(folder: Path) -> dict[str, ManifestEntry]:
    """Read the entries, by file; skips lines that are cut or damaged."""
    path, entries = folder / MANIFEST, {}
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            entry = msgspec.json.decode(line, type=ManifestEntry)
        except msgspec.MsgspecError:
            continue
        entries[entry.file] = entry
    return entries


def _entry(file: str, sequence: KeypointSequence) -> ManifestEntry:
    return ManifestEntry(
        file=file,
        label=sequence.label,
        subject=sequence.subject,
        frames=len(sequence.keypoints),
        fps=sequence.fps,
        written_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
