"""Check when a model folder counts as replaced."""

from pathlib import Path

from common.recognition.model_watcher import ModelWatcher


def test_only_a_folder_that_has_come_to_rest_is_replaced_and_only_once(tmp_path: Path):
    (tmp_path / "card.json").write_text("{}")
    watch = ModelWatcher(tmp_path)
    assert not watch.replaced(0)
    assert not watch.replaced(1)
    (tmp_path / "model.onnx").write_bytes(b"half")
    assert not watch.replaced(1.5)  # too soon for a look
    assert not watch.replaced(2)
    (tmp_path / "model.onnx").write_bytes(b"the whole")
    assert not watch.replaced(3)  # it still changes
    assert watch.replaced(4)
    assert not watch.replaced(5)


def test_a_report_beside_the_model_is_nothing_new(tmp_path: Path):
    watch = ModelWatcher(tmp_path)
    (tmp_path / "report.html").write_text("good")
    assert not any(watch.replaced(second) for second in range(4))


def test_a_folder_that_comes_back_is_replaced_again(tmp_path: Path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "card.json").write_text("{}")
    watch = ModelWatcher(folder)
    folder.rename(tmp_path / "away")
    assert [watch.replaced(second) for second in range(4)] == [False, True, False, False]
    (tmp_path / "away").rename(folder)
    assert [watch.replaced(second) for second in range(4, 8)] == [False, True, False, False]
