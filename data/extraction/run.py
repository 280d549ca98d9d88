"""Extract all videos of a folder that a data set does not have yet."""

import signal
import time
import unicodedata
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from common.keypoints.landmarks import PARTS
from common.labels import LONGEST_NAME, PUNCTUATION
from common.recording.dataset_writer import DatasetWriter
from common.recording.sequence import MIN_DETECTED_RATIO, KeypointSequence
from common.video.sources import DEFAULT_FPS
from data.extraction.extractor import ExtractionResult, VideoExtractor
from data.extraction.remarks import remarks
from data.extraction.report import REPORT, ReportRow, ReportWriter, key, result_row, shows_face_or_hand
from data.extraction.videos import Video, find_videos
from data.extraction.workers import Crash, LocalWorkers

MAX_LISTED: Final = 10  # of the videos without a sequence


def extract(source: Path, out: Path, workers: int, console: Console, fps: float = DEFAULT_FPS) -> None:
    """Add the sequences of all videos that the data set does not have yet, and print a summary.

    Args:
        source: videos, see data/extraction/videos.py.
        out: the data set to create or to add to.
        workers: number of processes.
        console: where to print progress and summary.
        fps: the rate of folders of images.

    Raises:
        UserError: the source holds no videos, or the data set cannot be written.
    """
    videos = find_videos(source, fps)
    for remark in remarks(videos, listed=source.is_file()):
        console.print(remark, markup=False, highlight=False, soft_wrap=True)
    with DatasetWriter(out) as writer, closing(ReportWriter(writer)) as report:
        waiting = [video for video in videos if key(video) not in report.rows]
        if len(waiting) < len(videos):
            console.print(f"{len(videos) - len(waiting)} of {len(videos)} videos are finished already.")
        waiting.sort(key=lambda video: -video.size)  # the longest first, by size
        results = LocalWorkers(workers).run(VideoExtractor, waiting)
        with closing(results), _progress(console, disable=not waiting) as progress:
            task = progress.add_task("", total=sum(video.size for video in waiting), rate=0.0)
            started_s, frames = time.monotonic(), 0
            for done, (video, result) in enumerate(results, start=1):
                with _interrupt_deferred():
                    frames += _store(video, result, writer, report).frames
                rate = frames / (time.monotonic() - started_s)
                progress.update(task, advance=video.size, description=f"{done}/{len(waiting)} videos", rate=rate)
        _summarise([report.rows[key(video)] for video in videos], out, console)


def _progress(console: Console, disable: bool) -> Progress:
    words = TextColumn("{task.description}"), TextColumn("{task.fields[rate]:.1f} frames/s")
    return Progress(words[0], BarColumn(), words[1], TimeRemainingColumn(), console=console, disable=disable)


@contextmanager
def _interrupt_deferred() -> Iterator[None]:
    """Delay Ctrl-C until the end of the block, so that data set and report agree."""
    asked: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: asked.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if asked:
        raise KeyboardInterrupt


def _store(video: Video, result: ExtractionResult | Crash, writer: DatasetWriter, report: ReportWriter) -> ReportRow:
    """Write the row of a video and, if it yields one, its sequence."""
    row = result_row(video, result)
    if isinstance(result, Crash) or row.outcome != "ok":
        report.add(row)
        return row
    name = writer.next_name(video.label, to_valid_name(video.path.stem))
    row.file = f"{video.label}/{name}.npz"
    report.add(row)  # before the sequence: a run that resumes in between would else store it twice
    issues = [*result.warnings]
    if row.pose < MIN_DETECTED_RATIO:
        issues.append(f"the person is in view on only {row.pose:.0%} of the frames")
    if not shows_face_or_hand(row):
        issues.append("neither face nor hand in view")
    sequence = KeypointSequence(video.label, result.keypoints, result.captured_ns, video.subject, "video", result.fps)
    writer.add(name, sequence, origin=video.origin, issues=issues)
    return row


def to_valid_name(stem: str) -> str:
    """Make a video's name a valid name of a sequence, short enough for a number behind it."""
    fit = "".join(letter if _is_allowed(letter) else "_" for letter in stem).lstrip(" .")
    return fit.encode()[: LONGEST_NAME - 10].decode(errors="ignore") or "video"


def _is_allowed(letter: str) -> bool:
    return letter in PUNCTUATION or unicodedata.category(letter)[0] in "LMN"


def _summarise(rows: list[ReportRow], out: Path, console: Console) -> None:
    table = Table("outcome", "videos", "frames", "seconds", *PARTS, title=str(out))
    for outcome in ("ok", "failed", "crashed"):
        if some := [row for row in rows if row.outcome == outcome]:
            frames, seconds = sum(row.frames for row in some), sum(row.duration_s for row in some)
            seen = [sum(getattr(row, part) * row.frames for row in some) / max(frames, 1) for part in PARTS]
            table.add_row(outcome, str(len(some)), str(frames), f"{seconds:.1f}", *(f"{part:.0%}" for part in seen))
    console.print(table)
    console.print(_by_label(rows))
    without = [row for row in rows if row.outcome != "ok"]
    for row in without[:MAX_LISTED]:
        console.print(f"{row.path} {row.outcome}: {row.reason}", markup=False, highlight=False, soft_wrap=True)
    if without:
        console.print(f"{len(without)} of {len(rows)} videos gave no sequence: see {out / REPORT}.", soft_wrap=True)


def _by_label(rows: list[ReportRow]) -> Table:
    table = Table("label", "videos", "sequences", "frames")
    for label in sorted({row.label for row in rows}):
        of_label = [row for row in rows if row.label == label]
        made = [row for row in of_label if row.outcome == "ok"]
        frames = sum(row.frames for row in made)
        table.add_row(escape(label), str(len(of_label)), str(len(made)), str(frames))
    return table
