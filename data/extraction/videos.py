"""Find labelled videos in a folder or a list.

    <label>/<video>, <label>/<level 2>/<video>     folders by label
    <video>                                        in no folder: one sign per video, labelled by the file's name
    <list>.csv                                     path,label[,start,end,subject]

Start and end are seconds; a path is relative to the list's folder. In place of each video there may be a folder of
images, its frames in the natural order of their names: <label>/<video>/frame_01.jpg.
"""

import csv
import logging
import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from common.errors import UserError
from common.files import visible_paths
from common.labels import checked_label
from common.lfs import refuse_pointer
from common.recording.sequence import UNKNOWN_SUBJECT
from common.video.sources import DEFAULT_FPS, IMAGES, FileSource, images
from data.formats.columns import why_unreadable, with_subject
from data.formats.shared import check_labels

SUFFIXES: Final = frozenset(
    (
        ".3g2", ".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".gif", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg",
        ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".qt", ".ts", ".vob", ".webm", ".wmv",
    )
)  # fmt: skip
COLUMNS: Final = ("path", "label", "start", "end", "subject")  # of a list; the first two are required

log = logging.getLogger(__name__)


class Video(NamedTuple):
    """A video, or a part of one, that shows one action."""

    path: Path
    name: str  # the path as listed, or relative to the folder
    label: str
    start_s: float | None = None
    end_s: float | None = None
    subject: str = UNKNOWN_SUBJECT
    size: int = 0  # bytes; 0 if there is no such file
    mtime_ns: int = 0
    fps: float = 0.0  # of a folder of images, which states none; 0: a file, which states its own
    error: str = ""  # why it cannot be used

    @property
    def origin(self) -> str:
        """The path, and of a part its start and end."""
        ends = {"from": self.start_s, "to": self.end_s}
        return " ".join([str(self.path), *(f"{word} {at_s:g} s" for word, at_s in ends.items() if at_s is not None)])


def find_videos(source: Path, fps: float = DEFAULT_FPS) -> list[Video]:
    """Find the videos of a folder, in order of their names, or of a .csv list, in its order.

    Args:
        source: a folder, a .csv list or a video.
        fps: the rate of folders of images.

    Raises:
        UserError: there are no videos, a line of the list is wrong, or folders cannot be labels.
    """
    if source.is_dir():
        found = [_from_path(source, path, fps) for path in _video_paths(source)]
    elif source.suffix.lower() == ".csv" and source.is_file():
        refuse_pointer(source)
        found = list(dict.fromkeys(_from_list(source, fps)))
    elif _is_video(source):
        found = [_from_path(source.parent, source, fps)]
    else:
        raise UserError(f"{source} is neither a folder of videos nor a video, nor a .csv list of them.")
    if not found:
        raise UserError(
            f"There is no video in {source} (of {' '.join(sorted(SUFFIXES))}), nor a folder of images "
            f"({' '.join(sorted(IMAGES))})."
        )
    check_labels(source, {video.label for video in found}, "list the videos in a .csv, as path,label")
    return found


def _is_video(path: Path) -> bool:
    """Whether a file is a video, whatever its suffix; raises UserError for a Git LFS pointer."""
    refuse_pointer(path)
    if not path.is_file() or path.suffix.lower() in SUFFIXES:
        return path.is_file()
    with suppress(UserError):
        FileSource(path).close()
        return True
    return False


def _video_paths(folder: Path) -> list[Path]:
    """The videos below the folder, and the folders of images that hold neither videos nor other such folders."""
    files = list(visible_paths(folder))
    videos = [path for path in files if path.suffix.lower() in SUFFIXES and not path.is_dir()]
    image_folders = {path.parent for path in files if path.suffix.lower() in IMAGES}
    above = {parent for path in (*videos, *image_folders) for parent in path.parents}
    for ignored in sorted(image_folders & above):
        log.warning("%s: its images are ignored, since videos or folders of images lie there too", ignored)
    return sorted([*videos, *(image_folders - above)])


def _from_path(folder: Path, path: Path, fps: float) -> Video:
    """A video whose label is the folder it is in."""
    below = path.relative_to(folder) if path != folder else Path(path.resolve().name)
    name = os.fsencode(below).decode(errors="replace")  # old archives have names that are not UTF-8
    label, problem = Path(name).parent.as_posix(), ""
    if label == ".":
        label = name if path.is_dir() else Path(name).stem
    try:
        checked_label(label)
    except UserError as error:
        problem = f"{str(error).rstrip('.')}; move or rename it, or list it with a label in a .csv."
    return _with_stat(Video(path, name, label, error=problem), fps)


def _from_list(path: Path, fps: float) -> Iterator[Video]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, restval="", strict=True)
            rows.fieldnames = with_subject(rows.fieldnames or ())
            if not set(COLUMNS[:2]) <= set(rows.fieldnames or ()):
                raise UserError(f"{path}: its first line is not path,label[,start,end,subject].")
            for row in rows:
                try:
                    yield _with_stat(_from_row(path.parent, {key: row.get(key, "").strip() for key in COLUMNS}), fps)
                except UserError as error:
                    raise UserError(f"{path}, line {rows.line_num}: {error}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a list of videos: {why_unreadable(error)}.") from error


def _from_row(folder: Path, row: dict[str, str]) -> Video:
    if not row["path"] or "\0" in row["path"]:
        raise UserError("it names no video.")
    start_s, end_s = _seconds(row["start"]), _seconds(row["end"])
    if end_s is not None and end_s <= (start_s or 0.0):
        raise UserError(f"it ends at {end_s:g} s, before it begins.")
    label, subject = checked_label(row["label"]), row["subject"] or UNKNOWN_SUBJECT
    return Video(folder / row["path"], row["path"], label, start_s, end_s, subject)


def _seconds(text: str) -> float | None:
    try:
        at_s = float(text or "0")
    except ValueError:
        at_s = math.nan
    if not 0 <= at_s < math.inf:
        raise UserError(f"{text!r} is not a time in seconds.")
    return at_s if text else None


def _with_stat(video: Video, fps: float) -> Video:
    """With the size and modification time of its file or images, by which a change is detected."""
    try:
        is_folder = video.path.is_dir()
        stats = [file.stat() for file in (images(video.path) if is_folder else (video.path,))]
    except OSError:
        return video
    size, mtime_ns = sum(one.st_size for one in stats), max((one.st_mtime_ns for one in stats), default=0)
    return video._replace(size=size, mtime_ns=mtime_ns, fps=fps if is_folder else 0.0)
