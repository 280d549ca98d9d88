"""Check that labels are split, compared, and refused if they cannot be folder names."""

import pytest

from common.errors import UserError
from common.labels import check_distinct, checked_label, checked_name, is_idle


@pytest.mark.parametrize("label", ["wave", "push up/right", "I'm fine!", "Grüße", "नमस्ते", "predicting.....", "谢谢"])
def test_labels_in_any_language_are_fit(label: str) -> None:
    assert checked_label(label) == label


@pytest.mark.parametrize(
    "label",
    ["", " ", "..", ".", "../wave", "/etc", "a/b/c", "a/", "wave\n", "👋", "x" * 300, "a\\b", "a\0b", ".hidden"],
)
def test_labels_that_could_leave_their_folder_or_break_a_disk_are_not(label: str) -> None:
    with pytest.raises(UserError, match="cannot"):
        checked_label(label)


def test_a_name_has_no_levels() -> None:
    with pytest.raises(UserError, match="cannot name"):
        checked_name("a/b")


@pytest.mark.parametrize(
    ("label", "idle"), [("nothing", True), ("Rest/left", True), ("resting", False), ("wave", False)]
)
def test_idle_labels_are_known_by_name(label: str, idle: bool) -> None:
    assert is_idle(label) == idle


@pytest.mark.parametrize("labels", [["Nod", "wave", "nod"], ["über", "u\u0308ber"], ["wave", "wave "]])
def test_labels_that_read_alike_are_refused(labels: list[str]) -> None:
    with pytest.raises(UserError, match="read alike"):
        check_distinct(labels)
    check_distinct(labels[:1] * 2)
