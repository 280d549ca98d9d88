"""Check, split and compare labels."""

import unicodedata
from collections.abc import Iterable
from typing import Final, NamedTuple

from common.errors import UserError

LONGEST_NAME: Final = 100  # bytes
PUNCTUATION: Final = frozenset(" _-.,'!?()+&")
IDLE_NAMES: Final = {"idle", "nobody", "none", "nothing", "rest"}
NOTHING: Final = "nothing"  # the label of idle windows where the data set has none


class Levels(NamedTuple):
    """The one or two levels of a label such as "push up/right"."""

    action: str
    verdict: str | None  # None where the label has one level


def split_label(label: str) -> Levels:
    """Split a label into its action and, if it has one, its verdict."""
    action, slash, verdict = label.partition("/")
    return Levels(action, verdict if slash else None)


def is_idle(label: str) -> bool:
    """Return whether the label's name means that no action is performed."""
    return split_label(label).action.casefold() in IDLE_NAMES


def checked_label(label: str) -> str:
    """Return the label if its one or two levels are valid folder names; raises UserError."""
    parts = label.split("/")
    if len(parts) > 2:
        raise UserError(f"{label[:60]!r} cannot be a label: it has more than two levels.")
    for part in parts:
        checked_name(part)
    return label


def checked_name(name: str) -> str:
    """Return the name if it is a valid file name on any file system; raises UserError.

    Letters, digits and some punctuation are allowed.
    """
    allowed = all(unicodedata.category(letter)[0] in "LMN" or letter in PUNCTUATION for letter in name)
    if not name.strip(" .") or name.startswith((".", " ")) or name.endswith(" ") or not allowed:
        raise UserError(
            f"{name[:60]!r} cannot name a label or file: use letters, digits, spaces and {''.join(sorted(PUNCTUATION))}"
            " only, and begin with no dot."
        )
    if len(name.encode()) > LONGEST_NAME:
        raise UserError(f"{name[:30]!r}... cannot name a label or file: it has more than {LONGEST_NAME} bytes.")
    return name


def check_distinct(labels: Iterable[str]) -> None:
    """Raise UserError if two labels differ only in case, outer spaces or Unicode form."""
    alike: dict[str, str] = {}
    for label in labels:
        if (other := alike.setdefault(normalize_label(label), label)) != label:
            raise UserError(f"There are labels {other!r} and {label!r}, which read alike: rename one.")


def normalize_label(label: str) -> str:
    """Return the label casefolded, without outer spaces, in Unicode form NFC."""
    return unicodedata.normalize("NFC", label).casefold().strip()
