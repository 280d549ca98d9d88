"""Keep extract.jsonl, the outcome of each video, by which an interrupted extraction resumes."""

from collections.abc import Iterable, Iterator
from typing import Final, Literal

import msgspec
import numpy as np

from common.files import JsonLinesWriter, atomic_write
from common.keypoints.landmarks import split
from common.recording.dataset_writer import DatasetWriter
from data.extraction.extractor import ExtractionResult
from data.extraction.videos import Video
from data.extraction.workers import Crash

REPORT: Final = "extract.jsonl"
# Of the frames: a logo mistaken for a pose is lost on 4 of 10, a push-up seen from afar on 2 at most.
STEADY_POSE: Final = 0.7


class ReportRow(msgspec.Struct, kw_only=True):
    """A line of the report: the outcome of one video."""

    path: str  # relative to the source, or as listed
    label: str
    start_s: float | None
    end_s: float | None
    size: int  # bytes
    mtime_ns: int
    subject: str
    fps: float = 0.0  # of a folder of images, as given by --fps
    outcome: Literal["ok", "failed", "crashed"] = "ok"
    reason: str = ""
    file: str = ""  # the sequence, relative to the data set
    frames: int = 0
    duration_s: float = 0.0  # from the first frame to the last
    rate: float = 0.0  # frames/s that its worker extracted
    pose: float = 0.0  # fraction of the frames with this part
    face: float = 0.0
    left_hand: float = 0.0
    right_hand: float = 0.0


Key = tuple[object, ...]


def key(it: Video | ReportRow) -> Key:
    """What identifies a video across runs; a changed file is another video."""
    name = it.name if isinstance(it, Video) else it.path
    return name, it.label, it.start_s, it.end_s, it.subject, it.size, it.mtime_ns, it.fps


class ReportWriter:
    """extract.jsonl: the rows of finished videos, by key."""

    def __init__(self, writer: DatasetWriter) -> None:
        """Read the report of a data set, without videos that must be done again."""
        path = writer.folder / REPORT
        lines = path.read_bytes().splitlines() if path.exists() else []
        # A row is written before its sequence, so one without the other was interrupted; crashed ones are tried again.
        rows = [row for row in _rows(lines) if row.outcome == "failed" or row.file in writer.entries]
        self.rows = {key(row): row for row in rows}
        if len(rows) < len(lines):
            atomic_write(path, b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
        self._lines = JsonLinesWriter(path)

    def add(self, row: ReportRow) -> None:
        """Append a row; raises OSError."""
        self._lines.add(row)
        self._lines.flush()
        self.rows[key(row)] = row

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


def _rows(lines: Iterable[bytes]) -> Iterator[ReportRow]:
    for line in lines:
        try:
            yield msgspec.json.decode(line, type=ReportRow)
        except msgspec.MsgspecError:
            continue  # cut or damaged: the video is done again


def result_row(video: Video, result: ExtractionResult | Crash) -> ReportRow:
    """The row of a video, without the file of its sequence."""
    row = ReportRow(
        path=video.name,
        label=video.label,
        start_s=video.start_s,
        end_s=video.end_s,
        size=video.size,
        mtime_ns=video.mtime_ns,
        subject=video.subject,
        fps=video.fps,
    )
    if isinstance(result, Crash):
        row.outcome, row.reason = "crashed", result.reason
        return row
    row.frames = len(result.keypoints)
    if row.frames:
        row.duration_s = round(float(np.ptp(result.captured_ns)) / 1e9, 3)
        row.rate = round(row.frames / result.work_s, 1)
        for part, points in split(result.keypoints).items():
            setattr(row, part, round(float(points.any(axis=(1, 2)).mean()), 3))
    row.reason = result.failure or rejection_reason(row)
    row.outcome = "failed" if row.reason else "ok"
    return row


def shows_face_or_hand(row: ReportRow) -> bool:
    """Whether any frame has a face or a hand."""
    return bool(row.face or row.left_hand or row.right_hand)


def rejection_reason(row: ReportRow) -> str:
    """Why a video yields no sequence; empty where it does.

    A pose without face or hand is no person, see docs/decisions/0008; but a labelled video is supposed to show one,
    so that a steady pose is enough here.
    """
    if not row.frames:
        return "there is no frame between its start and end"
    if not row.pose:
        return "nobody is in view"
    if row.pose < STEADY_POSE and not shows_face_or_hand(row):
        return f"nobody is in view: the pose found on {row.pose:.0%} of the frames has neither face nor hands"
    return ""
