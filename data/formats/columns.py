"""Explain what is wrong with the columns of a .csv, and how to correct them."""

import csv
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Final

SEPARATORS: Final = ";\t|"
LABEL: Final = "class"
LIKE_LABEL: Final = frozenset(
    ("action", "activity", "category", "classes", "gesture", "label", "labels", "sign", "target", "word")
)
LIKE_SUBJECT: Final = ("recorder", "signer", "participant_id")
LIKE_INDEX: Final = frozenset(("", "id", "idx", "index", "row", "frame", "frame_id", "unnamed: 0"))
AXIS: Final = re.compile(r"(?:^|[^a-z])([xyzv])(?:[^a-z]|$)")
SIDE: Final = re.compile(r"(?:^|[^a-z])(l|r)(?:eft|ight)?(?:[_ -]?h(?:ands?)?)?(?:[^a-z]|$)")
HAND: Final = re.compile(r"hand|(?:^|[^a-z])[lr]h(?:[^a-z]|$)")


def how_to_fix(
    header: Sequence[str], rows: Sequence[Sequence[str]], leading: Sequence[str], widths: Collection[int], known: str
) -> str:
    """Say how to correct the columns, as the end of a sentence.

    Args:
        header: the first line.
        rows: a few of the lines after it.
        leading: the names, in order, of the columns that may come before the numbers.
        widths: how many numbers a frame may have.
        known: the widths as text, for people.
    """
    if not header:
        return "it is empty"
    if len(header) == 1 and (found := [mark for mark in SEPARATORS if mark in header[0]]):
        return f"its columns are separated by {found[0]!r}: save it with commas between them and points in numbers"
    if {"x", "y"} <= {name.strip().casefold() for name in header} and len(header) < min(widths):
        return (
            "it has a row per landmark instead of a row per frame: save it as <label>/<file>.parquet, with the columns "
            "frame, type, landmark_index, x, y, z"
        )
    if sum(_is_measure(name) for name in header) > len(header) / 2:
        return f"it has numbers where the names of columns belong: put {LABEL},x1,... before it"
    steps = list(_steps(header, rows, leading, widths, known))
    return f"of its {len(header)} columns ({_shown(header)}) " + ", and ".join(steps)


def why_unreadable(error: Exception) -> str:
    """Say why a .csv could not be read, as the end of a sentence."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not in UTF-8: save it as CSV UTF-8"
    if "field limit" in str(error):
        return f"one of its fields has more than {csv.field_size_limit()} characters: is a quotation mark not closed?"
    return str(error).strip(".")


def with_subject(header: Sequence[str]) -> list[str]:
    """Rename the column that names the person to `subject`."""
    other = next((name for name in LIKE_SUBJECT if name in header), None) if "subject" not in header else None
    return ["subject" if name == other else name for name in header]


def mismatch(names: Sequence[str], meant: Sequence[tuple[str, str]]) -> str | None:
    """Find the first column whose name contradicts the part or axis that is read from it.

    Args:
        names: of the columns that hold numbers.
        meant: part and axis that are read from each, such as ("left_hand", "x").

    Returns:
        The end of a sentence; None where all names agree.
    """
    axes = [_axis(name) for name in names]
    if len({*axes} - {None}) < 2:  # x1, x2, x3, ... are numbers of a vector
        axes = [None] * len(names)
    only_hands = all("hand" in part for part, _ in meant)
    for name, named_axis, (part, axis) in zip(names, axes, meant, strict=True):
        if named_axis not in (None, axis) or not _is_of(name, part, only_hands):
            return f"column {name!r} is where {axis} of {part.replace('_', ' ')} belongs"
    return None


def _axis(name: str) -> str | None:
    found = AXIS.findall(name.casefold())
    return found[0] if len(found) == 1 else None


def _is_of(name: str, part: str, only_hands: bool) -> bool:
    """Whether a column's name allows the part: pose, face, or which hand."""
    name = name.casefold()
    if HAND.search(name) or only_hands:
        side = SIDE.search(name)
        return "hand" in part and (side is None or part.startswith(side[1]))
    return not any(other in name for other in ("pose", "face") if other != part)


def _steps(
    header: Sequence[str], rows: Sequence[Sequence[str]], leading: Sequence[str], widths: Collection[int], known: str
) -> Iterator[str]:
    columns = {name: [row[place] for row in rows if place < len(row)] for place, name in enumerate(header)}
    label = _label(columns)
    others = {name: values for name, values in columns.items() if name != label and name not in leading}
    superfluous = [name for name, values in others.items() if _is_index(name, values) or not _are_numbers(values)]
    if superfluous:
        yield f"remove {', '.join(map(repr, superfluous))}, of no landmark"
    if label is None:
        yield f"add one called {LABEL}, with the label of each row, before the others"
    elif label != LABEL:
        yield f"rename {label!r} to {LABEL}" + (" and put it before the others" if label != header[0] else "")
    elif [name for name in header if name not in superfluous][: len(leading)] != [*leading]:
        yield f"put {', '.join(leading)} before the others{', in this order' if len(leading) > 1 else ''}"
    width = len(header) - len(superfluous) - len([name for name in header if name == label or name in leading])
    if width not in widths:
        yield f"bring the {width} that then remain to {known}"


def _label(columns: dict[str, list[str]]) -> str | None:
    """The column that seems to hold labels: by its name, or as the only one with text, or with whole numbers."""
    named = [name for name in columns if name == LABEL] or [
        name for name in columns if name.strip().casefold() in LIKE_LABEL | {LABEL}
    ]
    texts = [name for name, values in columns.items() if not _are_numbers(values)]
    whole = [name for name, values in columns.items() if _are_whole(values) and not _is_index(name, values)]
    return next((found[0] for found in (named, texts, whole) if len(found) == 1), None)


def _is_index(name: str, values: list[str]) -> bool:
    counted = [str(int(values[0]) + more) for more in range(len(values))] if values and values[0].isdecimal() else []
    return name.strip().casefold() in LIKE_INDEX or (len(values) > 1 and values == counted)


def _are_numbers(values: list[str]) -> bool:
    return all(_is_number(text) for text in values if text.strip())


def _are_whole(values: list[str]) -> bool:
    return bool(values) and all(text.strip().isdecimal() for text in values)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_measure(text: str) -> bool:
    """Whether a text is a number that names no column, as 0.25; 25 may name one."""
    return _is_number(text) and not text.strip().isdecimal()


def _shown(header: Sequence[str]) -> str:
    names = [repr(name) for name in header]
    return ", ".join(names if len(names) < 7 else [*names[:3], "...", *names[-2:]])
