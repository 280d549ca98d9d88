"""Draw skeleton, probabilities, actions and status on BGR images, in place."""

from collections.abc import Mapping, Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from common.bus.messages import Action, Recording
from common.keypoints.landmarks import CONNECTIONS, MIN_VISIBILITY, PARTS, SLICES, split
from common.labels import split_label
from common.video.image import Image

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
VERDICTS: Final[dict[str | None, Colour]] = {"right": BAR_ACTIVE, "wrong": RED}  # other verdicts have no colour
FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
FRACTION_BITS: Final = 3  # cv2 takes points in eighths of a pixel


def draw_skeleton(image: Image, vector: NDArray[np.float32]) -> None:
    """Draw the landmarks (1662,) as lines, without missing parts and landmarks of low visibility."""
    height, width = image.shape[:2]
    scale = np.array([width, height], np.float32) * (1 << FRACTION_BITS)
    points = split(vector)
    for part in PARTS:
        if not vector[SLICES[part]].any():
            continue
        lines = CONNECTIONS[part]
        if part == "pose":
            visible = points[part][:, 3] >= MIN_VISIBILITY
            lines = lines[visible[lines].all(axis=1)]
        # Far outside the image cv2's fixed-point numbers would overflow.
        pixels = np.clip(points[part][:, :2], -4, 5) * scale
        thickness = 1 if part == "face" else 2
        cv2.polylines(
            image, list(pixels[lines].astype(np.int32)), False, COLOURS[part], thickness, cv2.LINE_8, FRACTION_BITS
        )


def draw_probabilities(image: Image, probabilities: Mapping[str, float], active: str | None) -> None:
    """Draw a bar for each label down the left side; the active action's in green or the colour of its verdict."""
    size = _text_size(image)
    step, width = round(34 * size), round(150 * size)
    for row, (label, probability) in enumerate(probabilities.items()):
        top = round(54 * size) + row * step
        bottom, end = top + step - 6, round(width * probability)
        cv2.rectangle(image, (0, top), (width, bottom), (60, 60, 60), -1)
        action, verdict = split_label(label)
        colour = VERDICTS.get(verdict, BAR_ACTIVE) if action == active else BAR
        cv2.rectangle(image, (0, top), (end, bottom), colour, -1)
        _write(image, f"{label} {probability:.2f}", (5, bottom - round(8 * size)), 0.5 * size)


def draw_sentence(image: Image, actions: Sequence[Action]) -> None:
    """Draw the latest actions that fit in a band along the top, coloured by verdict."""
    size = _text_size(image)
    band, left = round(42 * size), round(20 * size)
    image[:band] //= 3
    shown = list(actions)
    while shown and _width(" ".join(action.display_text for action in shown), 0.8 * size) > image.shape[1] - 2 * left:
        shown.pop(0)
    for action in shown:
        colour = VERDICTS.get(action.verdict, WHITE)
        _write(image, action.display_text, (left, band - round(13 * size)), 0.8 * size, colour, bold=colour != WHITE)
        left += _width(f"{action.display_text} ", 0.8 * size)


def draw_verdict(image: Image, action: Action) -> None:
    """Draw whether the action is right or wrong, legible from two metres: a border in its colour, and the words."""
    if action.verdict in VERDICTS:
        colour = VERDICTS[action.verdict]
        _draw_border(image, colour, round(12 * _text_size(image)))
        _announce(image, action.display_text, 1.6, 0.9, colour)


def draw_recording(image: Image, recording: Recording) -> None:
    """Draw what to perform and when, legible from two metres; a red border while it is captured."""
    if recording.state == "capturing":
        _draw_border(image, RED, round(6 * _text_size(image)))
    doing = {
        "countdown": f"in {recording.countdown_s:.1f} s",
        "ready": "raise your hands",
        "capturing": f"now ({recording.frames})",
        "paused": "paused",
        "finished": "all done, thank you",
    }[recording.state]
    title = f"{recording.label} {recording.number}/{recording.target}" if recording.label else ""
    for row, (text, scale) in enumerate(((title, 1.6), (doing, 1.6), (recording.detail, 0.6))):
        _announce(image, text, scale, 0.66 + 0.13 * row)


def draw_status(image: Image, text: str) -> None:
    """Draw rate, latency and losses along the bottom."""
    size = _text_size(image)
    _write(image, text, (10, image.shape[0] - round(12 * size)), 0.5 * size)


def _text_size(image: Image) -> float:
    """Return the scale of text: 1 at a width of 640 pixels, and at least 0.5 to stay legible."""
    return max(0.5, image.shape[1] / 640)


def _draw_border(image: Image, colour: Colour, thickness: int) -> None:
    height, width = image.shape[:2]
    cv2.rectangle(image, (0, 0), (width - 1, height - 1), colour, 2 * thickness)  # its outer half is outside the image


def _announce(image: Image, text: str, scale: float, down: float, colour: Colour = WHITE) -> None:
    """Draw text centred, at this fraction of the height, and no wider than 0.9 of the image."""
    (height, width), size = image.shape[:2], scale * _text_size(image)
    size *= min(1.0, 0.9 * width / max(1, _width(text, size)))
    _write(image, text, ((width - _width(text, size)) // 2, round(height * down)), size, colour, bold=True)


def _width(text: str, size: float) -> int:
    return int(cv2.getTextSize(text, FONT, size, 1)[0][0])


def _write(
    image: Image, text: str, origin: tuple[int, int], size: float, colour: Colour = WHITE, bold: bool = False
) -> None:
    """Draw text with a dark edge, legible on any background."""
    thickness = max(1, round((2.0 if bold else 1.3) * size))
    cv2.putText(image, text, origin, FONT, size, (0, 0, 0), thickness + 2)
    cv2.putText(image, text, origin, FONT, size, colour, thickness)
