"""Say how the folders of videos were interpreted, and warn of what looks like a mistake."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from data.extraction.videos import Video

MAX_NAMES: Final = 3  # names in a sentence


def remarks(videos: Collection[Video], listed: bool) -> Iterator[str]:
    """One sentence per remark. listed: whether labels are from a list, not from folders."""
    image_folders = [video for video in videos if video.fps and not video.error]
    if image_folders:
        first, count = image_folders[0], len(image_folders)
        yield (
            f"Folders of images ({count}) are each read as one recording at {first.fps:g} frames/s (--fps), "
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
            shown = ", ".join(stems[:MAX_NAMES]) + (" ..." if len(group) > MAX_NAMES else "")
            yield (
                f"All {len(group)} videos labelled {label} have different names ({shown}): if each shows another "
                "action, put each into a folder named after it, or list them in a .csv as path,label."
            )


def _seem_signs(stems: list[str], label: str) -> bool:
    """Whether the names differ by words, apart from numbers and the words that all have in common.

    True for hello_1, thanks_1, and for the letters A, B, C. False where the common word is the label, as in hello_anna,
    hello_bob; where numbered names are unequally frequent, as anna_1, anna_2, bob_1, since those are people; and where
    a name is no word, as x7Qa2f.
    """
    phrases = [_words(stem) for stem in stems]
    common = set[str].intersection(*map(set, phrases))
    if not common.isdisjoint(_words(label)):
        return False
    counts = Counter(tuple(word for word in phrase if word not in common) for phrase in phrases)
    if () in counts or (len(set(counts.values())) > 1 and all(stem[-1].isdecimal() for stem in stems)):
        return False
    letters = any(len(word) == 1 for phrase in counts for word in phrase)
    return len(counts) > (2 if letters else 1) and (not letters or all(len("".join(phrase)) == 1 for phrase in counts))


def _words(name: str) -> tuple[str, ...]:
    """The words of a name, without the numbers around them; none where one of them is no word."""
    steps = [step for step in re.split(r"[\W_]+", name.casefold()) if step and not step.isdecimal()]
    words = [re.sub(r"^\d+|\d+$", "", step) for step in steps]
    return tuple(words) if all(word.isalpha() for word in words) else ()
