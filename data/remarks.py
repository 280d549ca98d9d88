"""The videos that were found in; what was made of where they lie, and what looks like a mistake there, out."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from data.videos import Video

SHOWN: Final = 3  # names in a sentence


def remarks(videos: Collection[Video], listed: bool) -> Iterator[str]:
    """One sentence each, for people. listed: labels are not by folder."""
    pictured = [video for video in videos if video.fps and not video.objection]
    if pictured:
        first, count = pictured[0], len(pictured)
        yield (
            f"Folders of pictures ({count}) are each taken as one performance at {first.fps:g} frames/s (--fps), "
            f"such as {first.name} as {first.label}."
        )
    if not listed:
        yield from _of_names(video for video in videos if not video.objection)


def _of_names(videos: Iterable[Video]) -> Iterator[str]:
    groups = defaultdict[str, list[Video]](list)
    for video in videos:
        groups[video.label].append(video)
    for label, group in groups.items():
        if _all_differ([video.path.stem for video in group]):
            shown = ", ".join(video.path.stem for video in group[:SHOWN]) + (" ..." if len(group) > SHOWN else "")
            yield (
                f"All {len(group)} videos taken as {label} have names of their own ({shown}): if each shows something "
                "else, give each a folder of its name, or list them in a .csv as path,label."
            )


def _all_differ(stems: list[str]) -> bool:
    """Whether they are words, which no two share: hello, thanks; not hello_1, hello_2; nor x7Qa2f, which is no word."""
    phrases = [_words(stem) for stem in stems]
    shared = set[str].intersection(*map(set, phrases))
    return len(stems) > 1 and all(phrases) and not shared and len(set(phrases)) == len(phrases)


def _words(stem: str) -> tuple[str, ...]:
    """The words of a name, without the numbers before, between and behind them; none where they are one."""
    steps = [step for step in re.split(r"[\W_]+", stem.casefold()) if step and not step.isdecimal()]
    words = [re.sub(r"^\d+|\d+$", "", step) for step in steps]
    return tuple(words) if all(len(word) > 1 and word.isalpha() for word in words) else ()
