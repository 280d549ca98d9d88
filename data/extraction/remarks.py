"""The videos that were found in; what was made of where they lie, and what looks like a mistake there, out."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from data.extraction.videos import Video

SHOWN: Final = 3  # names in a sentence


def remarks(videos: Collection[Video], listed: bool) -> Iterator[str]:
    """One sentence each, for people. listed: labels are not by folder."""
    pictured = [video for video in videos if video.fps and not video.error]
    if pictured:
        first, count = pictured[0], len(pictured)
        yield (
            f"Folders of pictures ({count}) are each taken as one performance at {first.fps:g} frames/s (--fps), "
            f"such as {first.name} as {first.label}."
        )
    if not listed:
        yield from _of_names(video for video in videos if not video.error)


def _of_names(videos: Iterable[Video]) -> Iterator[str]:
    groups = defaultdict[str, list[Video]](list)
    for video in videos:
        groups[video.label].append(video)
    labels = Counter(name for group in groups.values() for name in {_words(video.path.stem) for video in group})
    for label, group in groups.items():
        stems = [video.path.stem for video in group]
        if _seem_signs(stems, label) and not any(labels[_words(stem)] > 1 for stem in stems):
            shown = ", ".join(stems[:SHOWN]) + (" ..." if len(group) > SHOWN else "")
            yield (
                f"All {len(group)} videos taken as {label} have names of their own ({shown}): if each shows something "
                "else, give each a folder of its name, or list them in a .csv as path,label."
            )


def _seem_signs(stems: list[str], label: str) -> bool:
    """Whether the names differ by words, once numbers and the words that all share are left out.

    As hello_1, thanks_1, and the letters A, B, C; not where the label is what they share, as hello_anna, hello_bob, nor
    where numbered takes are unequally many, as people make them, nor where a name is no word, as x7Qa2f.
    """
    phrases = [_words(stem) for stem in stems]
    shared = set[str].intersection(*map(set, phrases))
    if not shared.isdisjoint(_words(label)):
        return False
    takes = Counter(tuple(word for word in phrase if word not in shared) for phrase in phrases)
    if () in takes or (len(set(takes.values())) > 1 and all(stem[-1].isdecimal() for stem in stems)):
        return False
    letters = any(len(word) == 1 for phrase in takes for word in phrase)
    return len(takes) > (2 if letters else 1) and (not letters or all(len("".join(phrase)) == 1 for phrase in takes))


def _words(name: str) -> tuple[str, ...]:
    """The words of a name, without the numbers before, between and behind them; none where they are one."""
    steps = [step for step in re.split(r"[\W_]+", name.casefold()) if step and not step.isdecimal()]
    words = [re.sub(r"^\d+|\d+$", "", step) for step in steps]
    return tuple(words) if all(word.isalpha() for word in words) else ()
