"""The contact sheet shows every sequence, loads nothing from elsewhere, and is written atomically."""

import base64
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from common.errors import UserError
from common.keypoints.landmarks import SIZE, SLICES, split
from common.recording.sequence import KeypointSequence
from data.curation import contact_sheet
from data.curation.contact_sheet import BACKGROUND, CELL, MAX_ROWS, PLOT, SAMPLES


def made(label: str = "wave", frames: int = 12) -> KeypointSequence:
    """Somebody whose right wrist moves by 0.1 image heights a frame, at 10 frames/s."""
    keypoints = np.zeros((frames, SIZE), np.float32)
    parts = split(keypoints)
    parts["pose"][:] = (0.5, 0.5, 0, 1)
    parts["pose"][:, 11:13, 0] = (0.6, 0.4)
    parts["pose"][:, contact_sheet.RIGHT_WRIST, 1] = np.arange(frames) * 0.1
    return KeypointSequence(label, keypoints, np.arange(frames) * 100_000_000, "anna", "cam", 10.0)


def images(page: str) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    return [cv2.imdecode(np.frombuffer(base64.b64decode(one), np.uint8), cv2.IMREAD_COLOR) for one in found]


def test_a_page_has_an_image_of_every_sequence(tmp_path: Path) -> None:
    named = {"wave/0": made(), "nod/0": made("nod"), "wave/1": made(frames=3)}
    out = tmp_path / "new" / "sheet.html"
    assert contact_sheet.write(out, "mine", named, ["Few sequences."]) == [out]
    page = out.read_text()
    assert [image.shape for image in images(page)] == [(CELL, SAMPLES * CELL + PLOT, 3)] * 3
    assert re.findall(r"<figcaption>(\S+)", page) == ["nod/0", "wave/0", "wave/1"]
    assert "<li>Few sequences.</li>" in page
    assert not re.search(r"https?:|src=\"(?!data:)|@import|url\(", page)


def test_what_a_data_set_says_is_never_markup() -> None:
    bad = '"><script>alert(1)</script>{0}{sections}'
    sequence = made(bad)._replace(subject=bad)
    page = contact_sheet.page(bad, {f"{bad}/0": sequence}, 1.0, [bad])
    assert page.count("<script>") == 1
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;{0}{sections}") == 7


def test_one_image_and_a_folder_of_them(tmp_path: Path) -> None:
    some = {f"wave/{number}": made() for number in range(MAX_ROWS)}
    more = some | {"nod/0": made("nod")}
    assert contact_sheet.write(tmp_path / "all.png", "mine", some, []) == [tmp_path / "all.png"]
    image = cv2.imread(str(tmp_path / "all.png"))
    assert image.shape[0] > MAX_ROWS * CELL
    with pytest.raises(UserError, match=r"can hold 60 sequences, not 61: name a folder"):
        contact_sheet.write(tmp_path / "more.png", "mine", more, [])
    written = contact_sheet.write(tmp_path / "more", "mine", more, [])
    assert written == [tmp_path / "more" / "001.png", tmp_path / "more" / "002.png"]


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    named = {"wave/0": made()}
    for name in ("file/sheet.html", "file"):
        with pytest.raises(UserError, match="cannot be written"):
            contact_sheet.write(tmp_path / name, "mine", named, [])
    for name in ("sheet.pdf", ""):
        with pytest.raises(UserError, match="choose another name"):
            contact_sheet.write(tmp_path / name, "mine", named, [])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_figures_lie_within_their_cells_and_move() -> None:
    drawn = contact_sheet.stick_figures(made()) != BACKGROUND
    cells = np.split(drawn.any(axis=2), SAMPLES, axis=1)
    assert all(cell.any() for cell in cells)
    assert not any(cell[:, [0, -1]].any() or cell[[0, -1]].any() for cell in cells)
    assert (cells[0] != cells[-1]).any()


def test_speed_is_in_image_heights_a_second() -> None:
    nose, left, right = contact_sheet.speeds(made())
    assert nose == pytest.approx(0)
    assert left == pytest.approx(0)
    assert right == pytest.approx(1, abs=1e-4)


def test_speed_is_unknown_where_nothing_was_seen() -> None:
    sequence = made()
    sequence.keypoints[3, SLICES["pose"]] = 0
    assert np.isnan(contact_sheet.speeds(sequence)).any(axis=0).tolist() == [False, False, True, True] + [False] * 7


def test_hands_alone_have_wrists() -> None:
    sequence = made()
    sequence.keypoints[:] = 0
    hand = split(sequence.keypoints)["left_hand"]
    hand[..., 1] = 0.1 + 0.05 * np.arange(12)[:, None]
    nose, left, right = contact_sheet.speeds(sequence)
    assert np.isnan(nose).all() and np.isnan(right).all()
    assert left == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize("frames", [1, 12])
@pytest.mark.parametrize("value", [0, 3e38])
@pytest.mark.parametrize("interval_ns", [1, 10**17])
def test_whatever_is_finite_is_drawn(frames: int, value: float, interval_ns: int) -> None:
    times = 1_700_000_000_000_000_007 + np.arange(frames) * interval_ns
    sequence = made(frames=frames)._replace(captured_ns=times)
    odd = sequence._replace(keypoints=np.full_like(sequence.keypoints, value))
    assert value or (contact_sheet.stick_figures(odd) == BACKGROUND).all()
    named = {"wave/0": sequence, "wave/1": odd}
    assert len(images(contact_sheet.page("mine", named, 1.0, []))) == 2
