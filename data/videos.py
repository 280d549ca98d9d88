"""A folder or a list of videos in, the performances in them out.

    <label>/<video>, <label>/<level 2>/<video>     folders by label
    <video>                                        in no folder: one sign a video, labelled by the file's name
    <list>.csv                                     path,label[,start,end,recorder]

Start and end are seconds; a path counts from the list's folder.
"""

import csv
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from common.errors import UserError
from common.sequence import checked_label
from data.foreign import UNKNOWN

SUFFIXES: Final = frozenset(
    (".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv")
)
COLUMNS: Final = ("path", "label", "start", "end", "recorder")  # of a list; the first two it must have


class Video(NamedTuple):
    """A video, or a stretch of one, that shows one performance."""

    path: Path
    name: str  # the path as listed, or below the folder
    label: str
    start_s: float | None = None
    end_s: float | None = None
    recorder: str = UNKNOWN
    size: int = 0  # bytes; 0 if there is no such file
    mtime_ns: int = 0

    @property
    def origin(self) -> str:
        """The path, and of a stretch where it begins and ends."""
        ends = {"from": self.start_s, "to": self.end_s}
        return " ".join([str(self.path), *(f"{word} {at_s:g} s" for word, at_s in ends.items() if at_s is not None)])


def find(source: Path) -> list[Video]:
    """The videos of a folder, by name, or of a .csv list, as listed; raises UserError saying where it is wrong."""
    if source.is_dir():
        paths = (path for path in sorted(source.rglob("*")) if path.suffix.lower() in SUFFIXES)
        found = [_placed(source, path) for path in paths if not path.name.startswith(".")]
    elif source.suffix.lower() == ".csv" and source.is_file():
        found = list(dict.fromkeys(_listed(source)))
    else:
        raise UserError(f"{source} is neither a folder of videos nor a .csv list of them.")
    if not found:
        raise UserError(f"There is no video in {source} (of {' '.join(sorted(SUFFIXES))}).")
    return found


def _placed(folder: Path, path: Path) -> Video:
    """A video whose label is where it lies."""
    below = path.relative_to(folder)
    label = below.parent.as_posix() if below.parent.name else below.stem
    name = os.fsencode(below).decode(errors="replace")  # old archives have names that are not UTF-8
    try:
        return _stamped(Video(path, name, checked_label(label)))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _listed(path: Path) -> Iterator[Video]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, restval="", strict=True)
            if not set(COLUMNS[:2]) <= set(rows.fieldnames or ()):
                raise UserError(f"{path}: its first line is not path,label[,start,end,recorder].")
            for row in rows:
                try:
                    yield _stamped(_from_row(path.parent, {key: row.get(key, "").strip() for key in COLUMNS}))
                except UserError as error:
                    raise UserError(f"{path}, line {rows.line_num}: {error}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a list of videos: {error}.") from error


def _from_row(folder: Path, row: dict[str, str]) -> Video:
    if not row["path"] or "\0" in row["path"]:
        raise UserError("it names no video.")
    start_s, end_s = _seconds(row["start"]), _seconds(row["end"])
    if end_s is not None and end_s <= (start_s or 0.0):
        raise UserError(f"it ends at {end_s:g} s, before it begins.")
    label, recorder = checked_label(row["label"]), row["recorder"] or UNKNOWN
    return Video(folder / row["path"], row["path"], label, start_s, end_s, recorder)


def _seconds(text: str) -> float | None:
    try:
        at_s = float(text or "0")
    except ValueError:
        at_s = math.nan
    if not 0 <= at_s < math.inf:
        raise UserError(f"{text!r} is not a time in seconds.")
    return at_s if text else None


def _stamped(video: Video) -> Video:
    """With the size and time of its file, by which a changed one is known."""
    try:
        facts = video.path.stat()
    except OSError:
        return video
    return video._replace(size=facts.st_size, mtime_ns=facts.st_mtime_ns)
