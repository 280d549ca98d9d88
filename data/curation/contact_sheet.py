"""Draw the sequences of a data set to look through: on an HTML page, in one image, or in a folder of images.

A sequence is a row: stick figures at evenly spaced times, and a plot of the speed of nose and wrists.
"""

import base64
import html
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from common.errors import UserError
from common.files import atomic_write
from common.keypoints.landmarks import LEFT_WRIST, MIN_VISIBILITY, NOSE, PARTS, RIGHT_WRIST, split
from common.recording.sequence import KeypointSequence
from common.video.drawing import COLOURS, FONT, Colour, draw_skeleton
from common.video.image import Image
from data.curation.checks import by_label, rate
from data.dataset import SequencesByName

SAMPLES: Final = 8
CELL: Final = 112  # pixels, width and height of a stick figure
PLOT: Final = 2 * CELL  # pixels, the width of the motion plot
SUPERSAMPLING: Final = 2  # drawn larger by this factor, then reduced: thin lines stay smooth
MARGIN: Final = 1.1
ASPECT: Final = 4 / 3  # of the frames that the keypoints are from, which no data set states; most cameras'
SPEED_QUANTILE: Final = 0.99  # of all speeds lie within the plot: single jumps of a landmark must not flatten it
LINE: Final = 18  # pixels, height of a line of text
MAX_ROWS: Final = 60  # in one image: 8000 pixels, which viewers still show
MAX_SECOND_LINES: Final = 30  # in a motion plot
BACKGROUND: Final = 24  # grey
DIM: Final = (110, 110, 110)
TRACKED_POINTS: Final[dict[str, Colour]] = {
    "nose": COLOURS["face"],
    "left wrist": COLOURS["left_hand"],
    "right wrist": COLOURS["right_hand"],
}


def write(out: Path, title: str, named: SequencesByName, findings: Iterable[str]) -> list[Path]:
    """Write the sheet.

    Args:
        out: a page for .html, an image for .png, else a new folder of images.
        title: of the page.
        named: the sequences.
        findings: sentences for the top of the page.

    Returns:
        The files that were written.

    Raises:
        UserError: it cannot be written, or one image cannot hold the data set.
    """
    written = []
    try:
        for path, content in _files(out, title, named, findings):
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, content)
            written.append(path)
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror}.") from error
    return written


def _files(out: Path, title: str, named: SequencesByName, findings: Iterable[str]) -> Iterator[tuple[Path, bytes]]:
    in_order = [(name, s) for label in by_label(named) for name, s in named.items() if s.label == label]
    fastest = _fastest(named)
    if out.suffix == ".html":
        yield out, page(title, named, fastest, findings).encode(errors="replace")  # a folder's name need not be text
    elif out.suffix == ".png":
        if len(in_order) > MAX_ROWS:
            raise UserError(f"{out} can hold {MAX_ROWS} sequences, not {len(named)}: name a folder, or a page .html.")
        yield out, image(in_order, fastest)
    elif out.suffix or (out.exists() and any(out.iterdir())):
        raise UserError(f"{out} is neither a new folder nor ends in .html or .png: choose another name.")
    else:
        for number, first in enumerate(range(0, len(in_order), MAX_ROWS), start=1):
            yield out / f"{number:03d}.png", image(in_order[first : first + MAX_ROWS], fastest)


def page(title: str, named: SequencesByName, fastest: float, findings: Iterable[str]) -> str:
    """The sheet as one HTML text that loads nothing; a select and a text field filter what it shows."""
    figures: dict[str, list[str]] = {label: [] for label in by_label(named)}
    for name, sequence in _with_progress(list(named.items())):
        figures[sequence.label].append(_figure(name, sequence, fastest))
    sections = [
        f"<section><h2>{html.escape(label)} <small>{len(group)}</small></h2>{''.join(group)}</section>"
        for label, group in figures.items()
    ]
    options = "".join(f"<option>{html.escape(label)}</option>" for label in figures)
    colours = "".join(f'<b style="color:rgb{colour[::-1]}">{name}</b> ' for name, colour in TRACKED_POINTS.items())
    return PAGE.format(
        title=html.escape(title),
        findings="".join(f"<li>{html.escape(finding)}</li>" for finding in findings),
        options=options,
        legend=f"speed of {colours} in image heights/s, up to {fastest:.1f}; a line each second",
        sections="".join(sections),
    )


def _figure(name: str, sequence: KeypointSequence, fastest: float) -> str:
    source = base64.b64encode(_png(row(sequence, fastest))).decode()
    caption = html.escape(f"{name}  {_caption(sequence)}")
    return (
        f'<figure><figcaption>{caption}</figcaption><img loading="lazy" src="data:image/png;base64,{source}"></figure>'
    )


def image(in_order: list[tuple[str, KeypointSequence]], fastest: float) -> bytes:
    """The sheet as a PNG file, all rows below each other."""
    legend = (
        f"nose (grey), left wrist (blue), right wrist (orange): up to {fastest:.1f} image heights/s; lines: seconds"
    )
    rows = [_text(legend)]
    for name, sequence in _with_progress(in_order):
        rows += [_text(f"{name}   {_caption(sequence)}"), row(sequence, fastest)]
    return _png(np.vstack(rows))


def row(sequence: KeypointSequence, fastest: float) -> Image:
    """The stick figures of a sequence, and its motion plot to their right."""
    return np.hstack([stick_figures(sequence), motion(sequence, fastest)])


def stick_figures(sequence: KeypointSequence) -> Image:
    """The person at SAMPLES times, in the same crop: uint8 (CELL, SAMPLES * CELL, 3)."""
    elapsed = sequence.captured_ns - sequence.captured_ns[0]
    samples = np.searchsorted(elapsed, np.linspace(0, elapsed[-1], SAMPLES).round()).clip(max=len(elapsed) - 1)
    vectors, (corner, side) = sequence.keypoints[samples], _crop(sequence.keypoints)
    for points in split(vectors).values():  # views: this moves the vectors, all but the parts that are absent
        inside = ((points[..., :2] * (ASPECT, 1) - corner) / side).clip(-4, 5)
        points[..., :2] = np.where(points.any(axis=(1, 2), keepdims=True), inside, 0)
    cells = []
    for vector in vectors:
        cell = np.full((SUPERSAMPLING * CELL, SUPERSAMPLING * CELL, 3), BACKGROUND, np.uint8)
        draw_skeleton(cell, vector)
        cells.append(cv2.resize(cell, (CELL, CELL), interpolation=cv2.INTER_AREA))
    return np.hstack(cells)


def _crop(keypoints: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """Upper left corner (2,) and side, in image heights, of the square that holds all movement."""
    parts = split(keypoints)
    drawn = [parts[part][..., :2].reshape(-1, 2) for part in PARTS[1:]]
    drawn.append(parts["pose"][parts["pose"][..., 3] >= MIN_VISIBILITY][:, :2])
    points = np.concatenate(drawn)
    points = points[points.any(axis=1)].clip(-0.2, 1.2) * (ASPECT, 1)
    if not len(points):
        return np.zeros(2, np.float32), 1.0
    low, high = points.min(axis=0), points.max(axis=0)
    side = float((high - low).max()) * MARGIN or 1.0
    return (low + high - side) / 2, side


def speeds(sequence: KeypointSequence) -> NDArray[np.float32]:
    """The speeds of TRACKED_POINTS between frames, (3, T - 1), in image heights/s; NaN where one was not detected."""
    parts = split(sequence.keypoints)
    places = [_place(parts["pose"], NOSE), _place(parts["pose"], LEFT_WRIST), _place(parts["pose"], RIGHT_WRIST)]
    if not parts["pose"].any():  # hands alone have a wrist too
        places[1:] = [_place(parts["left_hand"], 0), _place(parts["right_hand"], 0)]
    steps = np.diff(np.stack(places) * (ASPECT, 1), axis=1)
    return np.hypot(steps[..., 0], steps[..., 1]) / np.diff(sequence.captured_ns) * 1e9


def _place(points: NDArray[np.float32], number: int) -> NDArray[np.float32]:
    """The x and y (T, 2) of a landmark; NaN where it was not detected."""
    place = points[:, number]
    seen = place[:, 3] >= MIN_VISIBILITY if place.shape[1] == 4 else place.any(axis=1)
    return np.where(seen[:, None], place[:, :2], np.nan)


def _fastest(named: SequencesByName) -> float:
    """The speed at the top of every plot."""
    of_all = np.concatenate([speeds(sequence).ravel() for sequence in named.values()])
    known = of_all[np.isfinite(of_all)]
    return max(float(np.quantile(known, SPEED_QUANTILE)), 0.1) if len(known) else 1.0


def motion(sequence: KeypointSequence, fastest: float) -> Image:
    """Plot the speeds over time: uint8 (CELL, PLOT, 3)."""
    plot = np.full((CELL, PLOT, 3), BACKGROUND, np.uint8)
    elapsed_s = (sequence.captured_ns - sequence.captured_ns[0]) / 1e9
    scale = (PLOT - 1) / max(elapsed_s[-1], 1e-9)
    for second in range(int(min(elapsed_s[-1], MAX_SECOND_LINES)) + 1):
        cv2.line(plot, (round(second * scale), 0), (round(second * scale), CELL), DIM, 1)
    for colour, speed in zip(TRACKED_POINTS.values(), speeds(sequence), strict=True):
        down = (CELL - 2) * (1 - np.minimum(speed / fastest, 1))
        for one, next_one in pairwise(np.stack([elapsed_s[1:] * scale, down], axis=1)):
            if np.isfinite([one, next_one]).all():
                cv2.line(plot, one.astype(int).tolist(), next_one.astype(int).tolist(), colour, 1, cv2.LINE_AA)
    return plot


def _caption(sequence: KeypointSequence) -> str:
    frames, length = len(sequence.keypoints), (sequence.captured_ns[-1] - sequence.captured_ns[0]) / 1e9
    at = f" at {rate(sequence):.1f} frames/s" if frames > 1 else ""
    return f"{sequence.subject}, {length:.2f} s, {frames} frames{at}"


def _text(words: str) -> Image:
    """A line of text; OpenCV's letters are ASCII, others become question marks."""
    line = np.full((LINE, SAMPLES * CELL + PLOT, 3), BACKGROUND, np.uint8)
    cv2.putText(
        line, words.encode("ascii", "replace").decode(), (4, LINE - 5), FONT, 0.42, (255, 255, 255), 1, cv2.LINE_AA
    )
    return line


def _png(drawn: Image) -> bytes:
    """Encode as PNG: half as large as with OpenCV's default; WebP would be half of that, and five times slower."""
    options = [cv2.IMWRITE_PNG_COMPRESSION, 6, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT]
    return cv2.imencode(".png", drawn, options)[1].tobytes()


def _with_progress(in_order: list[tuple[str, KeypointSequence]]) -> Iterable[tuple[str, KeypointSequence]]:
    """Show a progress bar in a terminal."""
    console = Console(stderr=True)
    return track(in_order, "Drawing", console=console, transient=True, disable=not console.is_terminal)


PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{title}</title>
<style>
body {{ background: #181818; color: #ddd; font: 15px sans-serif; margin: 1em auto; max-width: 1130px; padding: 0 1em }}
header {{ position: sticky; top: 0; background: #181818; padding: .5em 0; border-bottom: 1px solid #444 }}
select, input {{ background: #333; color: #eee; border: 0; padding: .4em; font: inherit }}
h2 {{ margin: 1.2em 0 .3em }} small {{ color: #888 }}
figure {{ margin: 0 0 .6em; content-visibility: auto; contain-intrinsic-size: 0 140px }}
figcaption {{ color: #aaa; white-space: pre-wrap }}
img {{ max-width: 100% }}
</style>
<h1>{title}</h1>
<ul>{findings}</ul>
<header>
  <select id="label"><option value="">every label</option>{options}</select>
  <input id="words" type="search" placeholder="name or subject">
  <small>{legend}</small>
</header>
{sections}
<script>
const label = document.getElementById("label"), words = document.getElementById("words");
function choose() {{
  document.querySelectorAll("section").forEach((section, number) => {{
    section.hidden = label.selectedIndex > 0 && label.selectedIndex !== number + 1;
    for (const figure of section.querySelectorAll("figure"))
      figure.hidden = !figure.textContent.toLowerCase().includes(words.value.toLowerCase());
  }});
}}
label.onchange = words.oninput = choose;
</script>
</html>
"""
