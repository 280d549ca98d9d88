"""Each reason not to train on a sequence is reported once, and a good data set has none."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.keypoints.landmarks import SIZE, SLICES
from common.recording.dataset_writer import ManifestEntry
from common.recording.sequence import KeypointSequence
from data.curation.checks import MIN_SEQUENCES, detected_ratio, find_issues, rate

SequencesByName = dict[str, KeypointSequence]


def made(label: str, seed: int, frames: int = 20) -> KeypointSequence:
    keypoints = np.random.default_rng(seed).random((frames, SIZE), np.float32)
    return KeypointSequence(label, keypoints, np.arange(frames) * 40_000_000, f"subject-{seed % 2}", "cam", 25.0)


def good() -> SequencesByName:
    """Two labels, two subjects, as many sequences as are enough."""
    numbered = [(label, number) for label in ("wave", "nod") for number in range(MIN_SEQUENCES)]
    return {f"{label}/{number}": made(label, 100 * len(label) + number) for label, number in numbered}


def change(named: SequencesByName, name: str, **values: object) -> None:
    named[name] = named[name]._replace(**values)  # type: ignore[arg-type]


def few(named: SequencesByName) -> None:
    del named["wave/3"]


def unequal(named: SequencesByName) -> None:
    named |= {f"wave/{number}": made("wave", number) for number in range(MIN_SEQUENCES, 4 * MIN_SEQUENCES)}


def one_subject(named: SequencesByName) -> None:
    for name in named:
        change(named, name, subject="anna")


def one_subject_of_a_label(named: SequencesByName) -> None:
    for number in range(MIN_SEQUENCES):
        change(named, f"wave/{number}", subject="anna")


def case(named: SequencesByName) -> None:
    named |= {f"Wave/{number}": made("Wave", 7000 + number) for number in range(MIN_SEQUENCES)}


def moved(named: SequencesByName) -> None:
    named["nod/moved"] = named.pop("wave/3")


def duplicates(named: SequencesByName) -> None:
    change(named, "wave/3", keypoints=named["nod/4"].keypoints.copy())


def frozen(named: SequencesByName) -> None:
    named["wave/3"].keypoints[5:9] = named["wave/3"].keypoints[5]


def no_hands(named: SequencesByName) -> None:
    for sequence in named.values():
        for part in ("left_hand", "right_hand"):
            sequence.keypoints[:, SLICES[part]] = 0


def hands_lost(named: SequencesByName) -> None:
    no_hands({"": named["wave/3"]})


def no_person(named: SequencesByName) -> None:
    named["wave/3"].keypoints[:5] = 0


def uneven(named: SequencesByName) -> None:
    named["wave/3"].captured_ns[19:] += 100_000_000


def other_rate(named: SequencesByName) -> None:
    change(named, "wave/3", captured_ns=named["wave/3"].captured_ns * 2, fps=12.5)


def wrong_rate(named: SequencesByName) -> None:
    for name in named:
        change(named, name, fps=30.0)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (few, "Few sequences: wave (9): record"),
        (unequal, "wave has 40 sequences, nod 10"),
        (one_subject, "One subject only for any label"),
        (one_subject_of_a_label, "One subject only for wave"),
        (case, "Wave = wave"),
        (moved, "nod/moved (wave)"),
        (duplicates, "wave/3 = nod/4"),
        (frozen, "the frames: wave/3: trim"),
        (no_hands, "No hand in view"),
        (hands_lost, "the label: wave/3: look"),
        (no_person, "Nobody in view in over 20% of the frames: wave/3"),
        (uneven, "gaps over 3 intervals: wave/3"),
        (other_rate, "from 12.5 (wave/3) to 25.0 frames/s"),
        (wrong_rate, "wave/0 (25.0, not 30)"),
    ],
)
def test_what_is_wrong_is_said(spoil: Callable[[SequencesByName], None], said: str) -> None:
    named = good()
    spoil(named)
    assert [sentence for sentence in find_issues(named, {}) if said in sentence], find_issues(named, {})


def test_a_good_data_set_is_not_blamed() -> None:
    assert find_issues(good(), {}) == []


def test_sequences_without_a_person_are_neither_frozen_nor_duplicates() -> None:
    named = good()
    for name in ("wave/3", "nod/3"):
        named[name].keypoints[:] = 0
    assert [sentence.split()[0] for sentence in find_issues(named, {})] == ["Hands", "Nobody"]


def test_what_the_manifest_says_of_sequences_that_are_there() -> None:
    entries = {
        f"{name}.npz": ManifestEntry(file=f"{name}.npz", label="", subject="", frames=1, fps=1, issues=["dark"])
        for name in ("wave/0", "wave/1", "wave/gone")
    }
    assert find_issues(good(), entries) == [
        "Noted in the manifest, dark: wave/0, wave/1: look at them, trim or delete."
    ]


def test_many_names_are_counted() -> None:
    named = good()
    for number in range(7):
        named[f"wave/{number}"].keypoints[:5] = 0
    (sentence,) = find_issues(named, {})
    assert "wave/0, wave/1, wave/2, wave/3 and 3 more" in sentence


@given(st.lists(st.integers(1, 10**10), max_size=5), st.integers(0, 5))
def test_any_single_sequence_is_checked(intervals: list[int], empty: int) -> None:
    times = np.cumsum([0, *intervals])
    keypoints = np.ones((len(times), SIZE), np.float32)
    keypoints[:empty] = 0
    sequence = KeypointSequence("wave", keypoints, times, "anna", "cam", 25.0)
    assert all(sentence.endswith(".") for sentence in find_issues({"wave/0": sequence}, {}))
    assert detected_ratio(sequence, "face") == pytest.approx(max(0, len(times) - empty) / len(times))
    assert rate(sequence) > 0 or len(times) == 1
