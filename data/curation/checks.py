"""Check a data set for what should not be trained on."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Final

import numpy as np

from common.keypoints.landmarks import SLICES
from common.recording.dataset_writer import ManifestEntry
from common.recording.sequence import MIN_DETECTED_RATIO, KeypointSequence
from data.dataset import SequencesByName

MIN_SEQUENCES: Final = 10  # of a label: a fifth held out of fewer is one, and measures nothing
MAX_IMBALANCE: Final = 3.0  # times as many: from there on a model gains by guessing the commonest label
MAX_FROZEN: Final = 0.1  # of the frames: cameras repeat single frames, more means that the image stands still
MIN_HANDS: Final = 0.1  # of the frames: a signer's hands are lost now and then, not in nine of ten
MAX_GAP: Final = 3.0  # times the usual interval: two frames in a row are missing
MAX_RATE_RATIO: Final = 1.1  # 25 and 24 frames/s are alike to a model, 25 and 30 are not
MAX_NAMES: Final = 4  # names in a sentence


def find_issues(named: SequencesByName, entries: Mapping[str, ManifestEntry]) -> list[str]:
    """One sentence per issue: what, where, and what to do. `entries`: the manifest, by file."""
    checks = (_few, _imbalance, _subjects, _case, _folders, _duplicates, _frozen, _hands, _person, _uneven, _rates)
    return [*chain.from_iterable(check(named) for check in checks), *_noted(named, entries)]


def by_label(named: SequencesByName) -> dict[str, list[KeypointSequence]]:
    """Group the sequences by label, in order of the labels."""
    groups: dict[str, list[KeypointSequence]] = {label: [] for label in sorted({s.label for s in named.values()})}
    for sequence in named.values():
        groups[sequence.label].append(sequence)
    return groups


def rate(sequence: KeypointSequence) -> float:
    """Frames per second, from the capture times; NaN for a single frame."""
    times = sequence.captured_ns
    return (len(times) - 1) / (times[-1] - times[0]) * 1e9 if len(times) > 1 else float("nan")


def detected_ratio(sequence: KeypointSequence, *parts: str) -> float:
    """The fraction of frames in which any of the parts was detected."""
    return float(np.any([sequence.keypoints[:, SLICES[part]].any(axis=1) for part in parts], axis=0).mean())


def _few(named: SequencesByName) -> Iterator[str]:
    few = {label: len(group) for label, group in by_label(named).items() if len(group) < MIN_SEQUENCES}
    if few:
        counts = _some([f"{label} ({count})" for label, count in few.items()])
        yield f"Few sequences: {counts}: record {MIN_SEQUENCES} of each label at least."


def _imbalance(named: SequencesByName) -> Iterator[str]:
    counts = Counter(sequence.label for sequence in named.values()).most_common()
    (most, many), (least, few) = counts[0], counts[-1]
    if many > MAX_IMBALANCE * few:
        yield f"Unequal labels: {most} has {many} sequences, {least} {few}: record more of the rare ones."


def _subjects(named: SequencesByName) -> Iterator[str]:
    groups = by_label(named)
    alone = [label for label, group in groups.items() if len({sequence.subject for sequence in group}) == 1]
    if alone:
        labels = "any label" if len(alone) == len(groups) else _some(alone)
        yield f"One subject only for {labels}: record other people too, a model of one person rarely works for another."


def _case(named: SequencesByName) -> Iterator[str]:
    spellings = defaultdict(list)
    for label in by_label(named):
        spellings[label.casefold().strip()].append(label)
    alike = [" = ".join(labels) for labels in spellings.values() if len(labels) > 1]
    if alike:
        yield f"Labels that differ only in case: {_some(alike)}: relabel all but one of each."


def _folders(named: SequencesByName) -> Iterator[str]:
    moved = [f"{name} ({s.label})" for name, s in named.items() if name.rpartition("/")[0] != s.label]
    if moved:
        yield f"Files in a folder that is not their label's: {_some(moved)}: relabel them."


def _duplicates(named: SequencesByName) -> Iterator[str]:
    names = defaultdict(list)
    for name, sequence in named.items():
        if sequence.keypoints.any():
            names[hash(sequence.keypoints.tobytes())].append(name)
    equal = [" = ".join(group) for group in names.values() if len(group) > 1]
    if equal:
        yield f"Equal keypoints: {_some(equal)}: delete all but one of each."


def _frozen(named: SequencesByName) -> Iterator[str]:
    frozen = []
    for name, sequence in named.items():
        now, before = sequence.keypoints[1:], sequence.keypoints[:-1]
        if np.count_nonzero((now == before).all(axis=1) & now.any(axis=1)) > MAX_FROZEN * len(sequence.keypoints):
            frozen.append(name)
    if frozen:
        yield f"Frozen for over {MAX_FROZEN:.0%} of the frames: {_some(frozen)}: trim, delete or record again."


def _hands(named: SequencesByName) -> Iterator[str]:
    ratios = {name: detected_ratio(sequence, "left_hand", "right_hand") for name, sequence in named.items()}
    if not any(ratios.values()):
        yield "No hand in view in any frame: good for bodies and faces, but no sign can be learned from it."
    of_label = defaultdict(list)
    for name, ratio in ratios.items():
        of_label[named[name].label].append(ratio)
    usual = {label: np.median(of_one) for label, of_one in of_label.items()}  # a nod needs no hands
    absent = [name for name, ratio in ratios.items() if ratio < MIN_HANDS <= usual[named[name].label]]
    if absent:
        yield (
            f"Hands in view in under {MIN_HANDS:.0%} of the frames, unlike in most of the label: {_some(absent)}: "
            "look at them, delete or record again."
        )


def _person(named: SequencesByName) -> Iterator[str]:
    absent = [name for name, sequence in named.items() if sequence.keypoints.any(axis=1).mean() < MIN_DETECTED_RATIO]
    if absent:
        yield (
            f"Nobody in view in over {1 - MIN_DETECTED_RATIO:.0%} of the frames: {_some(absent)}: trim or delete, "
            "unless the label means nobody."
        )


def _uneven(named: SequencesByName) -> Iterator[str]:
    intervals = {
        name: np.diff(sequence.captured_ns) for name, sequence in named.items() if len(sequence.captured_ns) > 1
    }
    uneven = [name for name, between in intervals.items() if between.max() > MAX_GAP * np.median(between)]
    if uneven:
        yield f"Uneven capture times, with gaps over {MAX_GAP:g} intervals: {_some(uneven)}: trim or record again."


def _rates(named: SequencesByName) -> Iterator[str]:
    rates = {name: rate(sequence) for name, sequence in named.items() if len(sequence.captured_ns) > 1}
    wrong = [
        f"{name} ({rate:.1f}, not {named[name].fps:g})"
        for name, rate in rates.items()
        if not 1 / MAX_RATE_RATIO < rate / named[name].fps < MAX_RATE_RATIO
    ]
    if wrong:
        yield f"Captured at another rate than stated: {_some(wrong)}: trust the capture times, or record again."
    if rates:
        slow, fast = min(rates, key=rates.__getitem__), max(rates, key=rates.__getitem__)
        if rates[fast] > MAX_RATE_RATIO * rates[slow]:
            yield (
                f"Different rates, from {rates[slow]:.1f} ({slow}) to {rates[fast]:.1f} frames/s ({fast}): windows "
                "follow the capture times, so check that these are true."
            )


def _noted(named: SequencesByName, entries: Mapping[str, ManifestEntry]) -> Iterator[str]:
    """The issues noted when the sequences were recorded or extracted."""
    names = defaultdict(list)
    for file, entry in entries.items():
        for issue in entry.issues if file.removesuffix(".npz") in named else ():
            names[issue].append(file.removesuffix(".npz"))
    for issue, affected in names.items():
        yield f"Noted in the manifest, {issue}: {_some(affected)}: look at them, trim or delete."


def _some(names: Iterable[str]) -> str:
    """The first few, and how many more."""
    names = list(names)
    return ", ".join(names[:MAX_NAMES]) + (f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else "")
