"""Correct a native data set by atomic edits that can be undone.

    <data set>/.undo/000001/edit.json               what was done, an Edit
    <data set>/.undo/000001/sequence.npz.removed    the sequence as it was
    <data set>/.undo/000001/anna-000.mp4.removed    a file beside a sequence that was deleted

While an edit runs, its record is called pending.json; the next Editor rolls back one that was interrupted. At no time
does a reader find a sequence twice, in part, or missing: files are only replaced or renamed. Files below .undo end in
.removed, so that no reader mistakes them for data.
"""

import contextlib
import hashlib
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from common.errors import UserError
from common.files import atomic_write
from common.labels import checked_label, checked_name
from common.recording import sequence as sequences
from common.recording.dataset_writer import MANIFEST, DatasetWriter, ManifestEntry, read_manifest
from common.recording.sequence import OUTDATED, KeypointSequence
from data.dataset import is_native

UNDO: Final = ".undo"
PENDING: Final = "pending.json"
DONE: Final = "edit.json"
REMOVED: Final = ".removed"
BACKUP: Final = f"sequence.npz{REMOVED}"


class Edit(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A change of one sequence."""

    description: str  # for people, "relabel wave/anna-000 hello"
    before: ManifestEntry
    sha256_before: str  # of its file
    after: ManifestEntry | None = None  # None where it was deleted
    sha256_after: str = ""  # of its file


class Editor(DatasetWriter):
    """A native data set, locked for corrections by this process; use it in a `with`.

    A sequence is named by its label and file, as `wave/anna-000` or `push up/right/anna-000`. Every method returns a
    sentence about what it did, and raises UserError where it cannot: then the data set is as it was. `interrupted`
    describes the interrupted edit that was rolled back, if any.
    """

    def __init__(self, folder: Path) -> None:
        """Open the data set; raises UserError also where it is not native."""
        if not folder.exists():
            raise UserError(f"There is no data set {folder}.")
        if not is_native(folder):
            raise UserError(
                f"{folder} is not a data set of this project: convert it first with python -m data.convert."
            )
        if (folder / UNDO).is_symlink():  # its folders are deleted: a link must not lead elsewhere
            raise UserError(f"{folder / UNDO} is a link: remove it.")
        for outdated in folder.glob(f"{UNDO}/*/begun.json"):
            raise UserError(f"{outdated} {OUTDATED}")
        super().__init__(folder)
        try:
            with _user_errors(folder):
                self.interrupted = self._rollback_pending()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Editor":
        return self

    def delete(self, name: str) -> str:
        """Move a sequence, and the files of the same name beside it, out of the data set."""
        return self._run(f"delete {name}", self._find(name), None, None)

    def relabel(self, name: str, label: str) -> str:
        """Give a sequence, and the files of the same name beside it, another label."""
        before = self._find(name)
        after = msgspec.structs.replace(before, label=label, file=f"{checked_label(label)}/{Path(before.file).name}")
        if after == before:
            raise UserError(f"{name} has the label {label} already.")
        if after.file != before.file and (taken := _same_stem(self.folder / after.file)):
            raise UserError(f"{taken[0]} is there already: delete or rename it first.")
        sequence = sequences.read(self.folder / before.file)
        return self._run(f"relabel {name} {label}", before, after, sequence._replace(label=label))

    def trim(self, name: str, start_s: float, end_s: float) -> str:
        """Keep the frames from start_s to end_s, in seconds from the first frame, both included.

        Capture times stay as they are, so that a video beside the sequence still fits it.
        """
        before = self._find(name)
        if not (math.isfinite(end_s) and 0 <= start_s < end_s):
            raise UserError(f"{name} cannot be trimmed to {start_s:g} ... {end_s:g} s: start at 0 or later, end later.")
        sequence = sequences.read(self.folder / before.file)
        elapsed_s = (sequence.captured_ns - sequence.captured_ns[0]) / 1e9
        inside = (elapsed_s >= start_s) & (elapsed_s <= end_s)
        if inside.all() or not inside.any():
            kept = "all" if inside.all() else "none"
            raise UserError(
                f"{name} lasts {elapsed_s[-1]:g} s, and {kept} of its frames lie between {start_s:g} and {end_s:g} s: "
                "choose other times."
            )
        after = msgspec.structs.replace(before, frames=int(np.count_nonzero(inside)))
        trimmed = sequence._replace(keypoints=sequence.keypoints[inside], captured_ns=sequence.captured_ns[inside])
        return self._run(f"trim {name} {start_s:g} {end_s:g}", before, after, trimmed)

    def undo(self) -> str:
        """Undo the last edit; called again, the one before it, down to the first."""
        if self.interrupted:
            description, self.interrupted = self.interrupted, ""
            return f"Undone: {description}."
        steps = self._steps()
        if not steps:
            raise UserError(f"There is nothing to undo in {self.folder}.")
        edit = _load(steps[-1] / DONE)
        old, new = self._paths(edit)
        in_place = edit.after is not None and new == old
        if _digest(new) != edit.sha256_after or (not in_place and _same_stem(old)):
            changed = new if _digest(new) != edit.sha256_after else _same_stem(old)[0]
            raise UserError(
                f"{edit.description!r} cannot be undone, since {changed} was changed later: "
                f"revert that change, or remove {steps[-1].parent} to give up undoing."
            )
        with _user_errors(self.folder):
            self._rollback(edit, steps[-1])
        return f"Undone: {edit.description}."

    def _find(self, name: str) -> ManifestEntry:
        label, _, stem = name.removesuffix(".npz").rpartition("/")
        file = f"{checked_label(label)}/{checked_name(stem)}.npz"
        if file not in self.entries:
            raise UserError(f"There is no sequence {name} in {self.folder}: its {MANIFEST} names them all.")
        return self.entries[file]

    def _run(
        self, description: str, before: ManifestEntry, after: ManifestEntry | None, sequence: KeypointSequence | None
    ) -> str:
        content = sequences.pack(sequence) if sequence else None
        with _user_errors(self.folder):
            try:
                self._apply(description, before, after, content)
            except BaseException:
                with contextlib.suppress(OSError):  # the next Editor tries again
                    self._rollback_pending()
                raise
        return f"Done: {description}. Undo it with --undo."

    def _apply(
        self, description: str, before: ManifestEntry, after: ManifestEntry | None, content: bytes | None
    ) -> None:
        """Run the edit in steps, after each of which the process may be killed: _rollback works from any of them."""
        old = self.folder / before.file
        content_before = old.read_bytes()
        edit = Edit(
            description=description,
            before=before,
            sha256_before=_sha256(content_before),
            after=after,
            sha256_after=_sha256(content) if content else "",
        )
        steps = self._steps()
        step = self.folder / UNDO / f"{int(steps[-1].name) + 1 if steps else 1:06d}"
        step.mkdir(parents=True)
        atomic_write(step / BACKUP, content_before)
        atomic_write(step / PENDING, msgspec.json.encode(edit))
        beside = [path for path in _same_stem(old) if path != old]
        if content and after:
            new = self.folder / after.file
            new.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(old, content)  # first the content with its label, then the move, so that one copy exists
            for path in [old, *beside]:
                path.replace(new.parent / path.name)
        else:
            old.unlink()
            for path in beside:
                path.replace(step / (path.name + REMOVED))
        self._update_manifest(remove=before, add=after)
        self._remove_if_empty(old.parent)
        (step / PENDING).replace(step / DONE)

    def _rollback_pending(self) -> str:
        """Roll back the edit of a program that was killed; its description, empty where there is none."""
        description = ""
        for step in reversed(self._steps()):
            if (step / PENDING).exists():
                edit = _load(step / PENDING)
                self._rollback(edit, step)
                description = edit.description
            elif not (step / DONE).exists():
                shutil.rmtree(step)  # the data are not changed yet, or already restored
        with contextlib.suppress(OSError):
            (self.folder / UNDO).rmdir()  # where it is empty
        return description

    def _rollback(self, edit: Edit, step: Path) -> None:
        """Restore what was before the edit; needs no space on the disk, and can be killed and run again at any time."""
        old, new = self._paths(edit)
        if _digest(old) not in ("", edit.sha256_before, edit.sha256_after):
            raise UserError(
                f"{old} is in the way of rolling back {edit.description!r}, which was interrupted: move it away."
            )
        if (step / DONE).exists():
            (step / DONE).replace(step / PENDING)
        old.parent.mkdir(parents=True, exist_ok=True)
        is_moved = _digest(new) in (edit.sha256_before, edit.sha256_after)
        current = new if is_moved else old
        if (step / BACKUP).exists():
            (step / BACKUP).replace(current)
        current.replace(old)
        if not new.exists():  # else another program's file is there, and so are the files beside it
            for path in _same_stem(new):
                path.replace(old.parent / path.name)
        for path in step.glob(f"{old.stem}*{REMOVED}"):
            path.replace(old.parent / path.name.removesuffix(REMOVED))
        self._update_manifest(remove=edit.after, add=edit.before)
        self._remove_if_empty(new.parent)
        (step / PENDING).unlink()
        shutil.rmtree(step)

    def _update_manifest(self, remove: ManifestEntry | None, add: ManifestEntry | None) -> None:
        if remove:
            self.entries.pop(remove.file, None)
        if add:
            self.entries[add.file] = add
        if read_manifest(self.folder) != self.entries:
            self._write_manifest(self.entries.values())

    def _remove_if_empty(self, label: Path) -> None:
        """Remove the folder of a label without sequences."""
        for level in (label, label.parent):
            if level != self.folder and level.is_dir() and not any(level.iterdir()):
                level.rmdir()

    def _steps(self) -> list[Path]:
        """The folders of all edits, the last one last."""
        undo = self.folder / UNDO
        return sorted(path for path in undo.iterdir() if path.name.isdecimal()) if undo.is_dir() else []

    def _paths(self, edit: Edit) -> tuple[Path, Path]:
        """The sequence's file before the edit, and after it."""
        return self.folder / edit.before.file, self.folder / (edit.after or edit.before).file


def _same_stem(path: Path) -> list[Path]:
    """The file, and those of the same name beside it."""
    folder = path.parent
    return sorted(p for p in folder.iterdir() if p.is_file() and p.stem == path.stem) if folder.is_dir() else []


def _load(record: Path) -> Edit:
    """Read an Edit from its file; raises UserError, also where it would lead out of the data set."""
    try:
        edit = msgspec.json.decode(record.read_bytes(), type=Edit)
        for entry in filter(None, (edit.before, edit.after)):
            label, _, name = entry.file.rpartition("/")
            checked_label(label), checked_name(name)
    except (OSError, msgspec.MsgspecError, UserError) as error:
        raise UserError(f"{record} cannot be read, remove {record.parent} to give up undoing it: {error}") from error
    return edit


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digest(path: Path) -> str:
    """SHA-256 of a file, empty where there is none."""
    return _sha256(path.read_bytes()) if path.exists() else ""


@contextlib.contextmanager
def _user_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"The data set {folder} cannot be changed: {error.strerror}; what was changed is rolled back."
        ) from error
