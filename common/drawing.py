"""A picture and what is known about it in; the same picture with skeleton, bars, sentence and figures out."""

from collections.abc import Mapping, Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from common.landmarks import CONNECTIONS, MIN_VISIBILITY, PARTS, SLICES, split
from common.messages import Recording

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]  # blue, green, red

COLOURS: Final[dict[str, Colour]] = {
    "pose": (80, 220, 80),
    "face": (200, 200, 200),
    "left_hand": (255, 160, 60),
    "right_hand": (60, 140, 255),
}
RED: Final = (40, 40, 230)
WHITE: Final = (255, 255, 255)
BAR: Final = (200, 150, 40)
BAR_ACTIVE: Final = (60, 200, 60)
FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
FRACTION_BITS: Final = 3  # cv2 takes points in eighths of a pixel


def draw_skeleton(picture: Picture, vector: NDArray[np.float32]) -> None:
    """Draw the landmarks (1662,) into the picture, as lines; unseen parts and unlikely joints are left out."""
    height, width = picture.shape[:2]
    scale = np.array([width, height], np.float32) * (1 << FRACTION_BITS)
    points = split(vector)
    for part in PARTS:
        if not vector[SLICES[part]].any():
            continue
        lines = CONNECTIONS[part]
        if part == "pose":
            visible = points[part][:, 3] >= MIN_VISIBILITY
            lines = lines[visible[lines].all(axis=1)]
        # Far outside the picture cv2's fixed-point numbers would overflow.
        pixels = np.clip(points[part][:, :2], -4, 5) * scale
        thickness = 1 if part == "face" else 2
        cv2.polylines(
            picture, list(pixels[lines].astype(np.int32)), False, COLOURS[part], thickness, cv2.LINE_8, FRACTION_BITS
        )


def draw_probabilities(picture: Picture, probabilities: Mapping[str, float], active: str | None) -> None:
    """A bar for each label down the left side, the active action's in green."""
    size = _text_size(picture)
    step, width = round(34 * size), round(150 * size)
    for row, (label, probability) in enumerate(probabilities.items()):
        top = round(54 * size) + row * step
        bottom, end = top + step - 6, round(width * probability)
        cv2.rectangle(picture, (0, top), (width, bottom), (60, 60, 60), -1)
        cv2.rectangle(picture, (0, top), (end, bottom), BAR_ACTIVE if label == active else BAR, -1)
        _write(picture, f"{label} {probability:.2f}", (5, bottom - round(8 * size)), 0.5 * size)


def draw_sentence(picture: Picture, words: Sequence[str]) -> None:
    """The running sentence of actions, in a band along the top; the oldest words give way."""
    size = _text_size(picture)
    band = round(42 * size)
    picture[:band] //= 3
    words = list(words)
    while words and _width(" ".join(words), 0.8 * size) > picture.shape[1] - 20:
        words.pop(0)
    _write(picture, " ".join(words), (10, band - round(13 * size)), 0.8 * size)


def draw_recording(picture: Picture, recording: Recording) -> None:
    """What to perform and when, large, for somebody two metres away; a red frame while it is captured."""
    size, height, width = _text_size(picture), *picture.shape[:2]
    if recording.state == "capturing":
        cv2.rectangle(picture, (0, 0), (width - 1, height - 1), RED, round(12 * size))
    doing = {
        "countdown": f"in {recording.countdown_s:.1f} s",
        "ready": "raise your hands",
        "capturing": f"now ({recording.frames})",
        "paused": "paused",
        "finished": "all done, thank you",
    }[recording.state]
    title = f"{recording.label} {recording.number}/{recording.target}" if recording.label else ""
    for row, (text, scale) in enumerate(((title, 1.6), (doing, 1.6), (recording.detail, 0.6))):
        scale *= size * min(1.0, 0.9 * width / max(1, _width(text, scale * size)))
        left = (width - _width(text, scale)) // 2
        _write(picture, text, (left, round(height * (0.66 + 0.13 * row))), scale, bold=True)


def draw_figures(picture: Picture, text: str) -> None:
    """Rate, age and losses, along the bottom."""
    size = _text_size(picture)
    _write(picture, text, (10, picture.shape[0] - round(12 * size)), 0.5 * size)


def _text_size(picture: Picture) -> float:
    """1 at 640 pixels; no smaller than can be read."""
    return max(0.5, picture.shape[1] / 640)


def _width(text: str, size: float) -> int:
    return int(cv2.getTextSize(text, FONT, size, 1)[0][0])


def _write(picture: Picture, text: str, origin: tuple[int, int], size: float, bold: bool = False) -> None:
    """Readable on any ground: white with a dark edge."""
    thickness = max(1, round((2.0 if bold else 1.3) * size))
    cv2.putText(picture, text, origin, FONT, size, (0, 0, 0), thickness + 2)
    cv2.putText(picture, text, origin, FONT, size, WHITE, thickness)
