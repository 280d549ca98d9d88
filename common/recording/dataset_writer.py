"""A native data set that grows: sequences in; files and a manifest that agree, whatever happens, out.

    <data set>/<label>/<name>.npz      label may have two levels, as "push up/right"
    <data set>/manifest.jsonl          a line for each of them, with what the files do not say

The files are what counts: the manifest is put right by them when somebody begins to write.
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

    file: str  # below the data set
    label: str
    subject: str
    frames: int
    fps: float
    written_at: str = ""  # UTC
    origin: str = ""  # the video or data set it was made from
    issues: list[str] = []  # why one may not want to train on it


class DatasetWriter:
    """A native data set, open for writing by this process alone. Use it in a `with`.

    Raises UserError if another process writes to it, or if the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
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
            raise UserError(f"The data set {folder} cannot be written: {error.strerror}.") from error

    def _reconcile(self) -> dict[str, ManifestEntry]:
        """The entries by file, after half-written files are gone and the manifest says what is there."""
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
        return sum(entry.label == label and entry.subject == subject for entry in self.entries.values())

    def next_name(self, label: str, stem: str) -> str:
        """`stem-000`, or the next number that no sequence of the label has."""
        taken, number = {Path(entry.file).stem for entry in self.entries.values() if entry.label == label}, 0
        while f"{stem}-{number:03d}" in taken:
            number += 1
        return f"{stem}-{number:03d}"

    def add(self, name: str, sequence: KeypointSequence, *, origin: str = "", issues: Iterable[str] = ()) -> Path:
        """Store a sequence as <label>/<name>.npz, whole or not at all.

        Raises UserError for a label or name that cannot be a folder's or file's, where the file is there already,
        and where the disk is full; all that was there before stays as it was.
        """
        file = f"{checked_label(sequence.label)}/{checked_name(name)}.npz"
        path = self.folder / file
        sequences.check_sequence(path, sequence)
        if path.exists():
            raise UserError(f"{path} is there already: choose another data set or remove it.")
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
        """Delete a sequence, and what lies beside it under the same name."""
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
        self._lock.close()

    def __enter__(self) -> "DatasetWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_manifest(folder: Path) -> dict[str, ManifestEntry]:
    """The entries by file; a line that was cut or damaged does not count, the file it was about still does."""
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
