"""A picture and what is known about it in; the same picture with skeleton, bars, sentence and figures out."""

from collections.abc import Mapping, Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from common.bus.messages import Action, Recording
from common.keypoints.landmarks import CONNECTIONS, MIN_VISIBILITY, PARTS, SLICES, split
from common.labels import split_label

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
VERDICTS: Final[dict[str | None, Colour]] = {"right": BAR_ACTIVE, "wrong": RED}  # any other says nothing of good or bad
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
    """A bar for each label down the left side, the active action's in green, or as its verdict has it."""
    size = _text_size(picture)
    step, width = round(34 * size), round(150 * size)
    for row, (label, probability) in enumerate(probabilities.items()):
        top = round(54 * size) + row * step
        bottom, end = top + step - 6, round(width * probability)
        cv2.rectangle(picture, (0, top), (width, bottom), (60, 60, 60), -1)
        action, verdict = split_label(label)
        colour = VERDICTS.get(verdict, BAR_ACTIVE) if action == active else BAR
        cv2.rectangle(picture, (0, top), (end, bottom), colour, -1)
        _write(picture, f"{label} {probability:.2f}", (5, bottom - round(8 * size)), 0.5 * size)


def draw_sentence(picture: Picture, actions: Sequence[Action]) -> None:
    """The running sentence of actions, in a band along the top, coloured by verdict; the oldest give way."""
    size = _text_size(picture)
    band, left = round(42 * size), round(20 * size)
    picture[:band] //= 3
    shown = list(actions)
    while shown and _width(" ".join(action.display_text for action in shown), 0.8 * size) > picture.shape[1] - 2 * left:
        shown.pop(0)
    for action in shown:
        colour = VERDICTS.get(action.verdict, WHITE)
        _write(picture, action.display_text, (left, band - round(13 * size)), 0.8 * size, colour, bold=colour != WHITE)
        left += _width(f"{action.display_text} ", 0.8 * size)


def draw_verdict(picture: Picture, action: Action) -> None:
    """Whether it is right or wrong, for somebody two metres away: a border in its colour, and the words."""
    if action.verdict in VERDICTS:
        colour = VERDICTS[action.verdict]
        _draw_border(picture, colour, round(12 * _text_size(picture)))
        _announce(picture, action.display_text, 1.6, 0.9, colour)


def draw_recording(picture: Picture, recording: Recording) -> None:
    """What to perform and when, large, for somebody two metres away; a red frame while it is captured."""
    if recording.state == "capturing":
        _draw_border(picture, RED, round(6 * _text_size(picture)))
    doing = {
        "countdown": f"in {recording.countdown_s:.1f} s",
        "ready": "raise your hands",
        "capturing": f"now ({recording.frames})",
        "paused": "paused",
        "finished": "all done, thank you",
    }[recording.state]
    title = f"{recording.label} {recording.number}/{recording.target}" if recording.label else ""
    for row, (text, scale) in enumerate(((title, 1.6), (doing, 1.6), (recording.detail, 0.6))):
        _announce(picture, text, scale, 0.66 + 0.13 * row)


def draw_status(picture: Picture, text: str) -> None:
    """Rate, age and losses, along the bottom."""
    size = _text_size(picture)
    _write(picture, text, (10, picture.shape[0] - round(12 * size)), 0.5 * size)


def _text_size(picture: Picture) -> float:
    """1 at 640 pixels; no smaller than can be read."""
    return max(0.5, picture.shape[1] / 640)


def _draw_border(picture: Picture, colour: Colour, thickness: int) -> None:
    height, width = picture.shape[:2]
    cv2.rectangle(picture, (0, 0), (width - 1, height - 1), colour, 2 * thickness)  # its outer half is out of sight


def _announce(picture: Picture, text: str, scale: float, down: float, colour: Colour = WHITE) -> None:
    """Centred, at this share of the height, and no wider than the picture."""
    (height, width), size = picture.shape[:2], scale * _text_size(picture)
    size *= min(1.0, 0.9 * width / max(1, _width(text, size)))
    _write(picture, text, ((width - _width(text, size)) // 2, round(height * down)), size, colour, bold=True)


def _width(text: str, size: float) -> int:
    return int(cv2.getTextSize(text, FONT, size, 1)[0][0])


def _write(
    picture: Picture, text: str, origin: tuple[int, int], size: float, colour: Colour = WHITE, bold: bool = False
) -> None:
    """Readable on any ground: with a dark edge."""
    thickness = max(1, round((2.0 if bold else 1.3) * size))
    cv2.putText(picture, text, origin, FONT, size, (0, 0, 0), thickness + 2)
    cv2.putText(picture, text, origin, FONT, size, colour, thickness)
