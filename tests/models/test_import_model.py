"""Importing networks of other projects: the same probabilities from a model folder, and what is refused."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import pytest
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper

from common.errors import UserError
from common.keypoints.features import features, raw_of
from common.keypoints.landmarks import SIZE
from common.recognition.classifier import Classifier
from data import dataset
from data.formats.shared import to_holistic
from models.storage.importer import import_model
from tests.pipeline import ROOT

LENGTH, NUMBERS, LABELS = 6, 126, ["a", "b", "c"]
WINDOWS = np.random.default_rng(0).uniform(size=(9, LENGTH, SIZE)).astype(np.float32)
WINDOWS[3, :4] = 0  # for masks
THEIRS = features(WINDOWS, raw_of(NUMBERS))
layers = tf.keras.layers


def network(*inner: Any, last: str = "softmax", length: int | None = LENGTH, numbers: int = NUMBERS) -> Any:
    return tf.keras.Sequential([layers.Input((length, numbers)), *inner, layers.Dense(3, activation=last)])


def as_keras_2(described: Any) -> Any:
    """The description of a network as Keras 2 wrote it: more words, and input shapes where they were first said."""
    if isinstance(described, list):
        return [as_keras_2(one) for one in described]
    if not isinstance(described, dict):
        return described
    old = {key: as_keras_2(value) for key, value in described.items()}
    if old.get("class_name") in ("LSTM", "GRU", "SimpleRNN"):
        old["config"] |= {"time_major": False, "implementation": 2}
    if old.get("class_name") == "BatchNormalization":
        old["config"]["axis"] = [2]
    if old.get("class_name") == "InputLayer":
        old["config"]["batch_input_shape"] = old["config"].pop("batch_shape")
    elif "trainable" in old.get("config", {}):
        old["config"]["batch_input_shape"] = [None, LENGTH, NUMBERS]
    return old


def save(model: Any, path: Path, change: Callable[[Any], Any] = lambda described: described) -> Path:
    """The model in a file, with its description changed."""
    model.save(path)
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as stored:
            stored.attrs["model_config"] = json.dumps(change(json.loads(stored.attrs["model_config"])))
        return path
    with zipfile.ZipFile(path) as stored:
        parts = {name: stored.read(name) for name in stored.namelist()}
    parts["config.json"] = json.dumps(change(json.loads(parts["config.json"]))).encode()
    with zipfile.ZipFile(path, "w") as changed:
        for name, content in parts.items():
            changed.writestr(name, content)
    return path


def imported(file: Path, labels: Iterable[str] = LABELS, length: int | None = None) -> Classifier:
    out = file.parent / "imported"
    import_model(file, out, list(labels), [], None, length)
    return Classifier(out)


def refused(file: Path, why: str, **options: Any) -> None:
    """It is, in one sentence that names the file, and nothing is left behind."""
    before = set(file.parent.iterdir())
    with pytest.raises(UserError, match=why) as error:
        imported(file, **options)
    assert "\n" not in str(error.value)
    assert str(file) in str(error.value)
    assert set(file.parent.iterdir()) == before


@pytest.mark.filterwarnings("ignore:.*HDF5 file")
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize(
    "inner",
    [
        lambda: [layers.LSTM(4, return_sequences=True), layers.BatchNormalization(), layers.LSTM(4, activation="relu")],
        lambda: [layers.Masking(0.0), layers.Bidirectional(layers.LSTM(4)), layers.Dropout(0.5)],
        lambda: [layers.Masking(0.0), layers.LSTM(4)],
        lambda: [layers.Conv1D(4, 3), layers.GRU(4, return_sequences=True), layers.GlobalAveragePooling1D()],
    ],
)
def test_files_of_keras_2_and_3_predict_as_before(tmp_path: Path, inner: Any, suffix: str):
    model = network(*inner())
    expected = np.asarray(model(THEIRS))
    for era, change in (("2", as_keras_2), ("3", lambda same: same)):
        folder = tmp_path / era
        folder.mkdir()
        classify = imported(save(model, folder / f"model{suffix}", change))
        np.testing.assert_allclose(classify(WINDOWS), expected, atol=1e-5)
        assert classify.card.features == raw_of(NUMBERS)
        assert classify.card.window.fps is None


def test_a_network_that_ends_without_softmax_gets_one(tmp_path: Path):
    model = network(layers.LSTM(4), last="linear")
    classify = imported(save(model, tmp_path / "model.keras"))
    np.testing.assert_allclose(classify(WINDOWS), tf.nn.softmax(model(THEIRS)), atol=1e-5)


def test_a_network_for_any_number_of_frames_needs_a_window_length(tmp_path: Path):
    model = network(layers.LSTM(4), length=None)
    file = save(model, tmp_path / "model.keras")
    refused(file, "any number of frames.*--window-length")
    np.testing.assert_allclose(imported(file, length=LENGTH)(WINDOWS), model(THEIRS), atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*HDF5 file")
def test_a_file_of_keras_2_by_the_name_of_keras_3(tmp_path: Path):
    model = network(layers.LSTM(4))
    save(model, tmp_path / "model.h5", as_keras_2).rename(tmp_path / "model.keras")
    np.testing.assert_allclose(imported(tmp_path / "model.keras")(WINDOWS), model(THEIRS), atol=1e-5)


def renamed(old: str, new: dict[str, Any]) -> Callable[[Any], Any]:
    """Changes how the layer `old` is described."""

    def change(described: Any) -> Any:
        for layer in described["config"]["layers"]:
            if layer["class_name"] == old:
                layer |= new
        return described

    return change


@pytest.mark.filterwarnings("ignore:.*HDF5 file")
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path, suffix: str):
    mark = tmp_path / "ran"
    script = f"(lambda x: [open({str(mark)!r}, 'w').close(), x][1])"
    model = network(layers.LSTM(4), layers.Lambda(eval(script)))  # noqa: S307  it is this test's own
    model.save(tmp_path / f"model{suffix}")
    mark.unlink(missing_ok=True)
    refused(tmp_path / f"model{suffix}", "Lambda 'lambda.*not run")
    assert not mark.exists()


@pytest.mark.parametrize(
    "layer",
    [
        {"class_name": "Attention2", "module": "my_project.layers", "registered_name": "mine>Attention2"},
        {"class_name": "TFSMLayer", "module": "keras.layers"},
        {"class_name": "system", "module": "os", "registered_name": None},
        {"class_name": "get_file", "module": "keras.utils", "registered_name": None},
        {"class_name": "deserialize", "module": "keras.initializers", "registered_name": None},
    ],
)
def test_what_is_not_a_harmless_layer_of_keras_is_refused(tmp_path: Path, layer: dict[str, Any]):
    file = save(network(layers.LSTM(4)), tmp_path / "model.keras", renamed("LSTM", layer))
    refused(file, layer["class_name"])


def test_networks_for_something_else_are_refused(tmp_path: Path):
    refused(save(network(layers.LSTM(4), last="sigmoid"), tmp_path / "yes_or_no.keras"), "sigmoid")
    refused(save(network(layers.LSTM(4), numbers=99), tmp_path / "numbers.keras"), "99 numbers.*1662, 258, 132, 126")
    refused(save(network(), tmp_path / "frames.keras"), "labels every frame")
    image = tf.keras.Sequential([layers.Input((8, 8, 3)), layers.Flatten(), layers.Dense(3)])
    refused(save(image, tmp_path / "image.keras"), r"takes arrays \(None, 8, 8, 3\)")
    broken = network(layers.LSTM(4))
    broken.set_weights([weights * np.nan for weights in broken.get_weights()])
    refused(save(broken, tmp_path / "broken.keras"), "not finite")
    file = save(network(layers.LSTM(4)), tmp_path / "model.keras")
    refused(file, "has 3 labels, --labels names 2", labels=["a", "b"])
    refused(file, "windows of 6 frames, --window-length says 7", length=7)


@pytest.mark.parametrize("name", ["model.h5", "model.keras", "model.onnx"])
@pytest.mark.parametrize("content", [b"", b"not a network", b"PK\x03\x04 cut", b"\x89HDF\r\n\x1a\n cut"])
def test_damaged_files_are_refused(tmp_path: Path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, "cannot be read as a network: it is damaged, or not (the HDF5|the archive|ONNX)")


def test_archives_of_something_else_or_cut_inside_are_refused(tmp_path: Path):
    file = tmp_path / "model.keras"
    with zipfile.ZipFile(file, "w") as other:
        other.writestr("notes.txt", "no network")
    refused(file, "damaged, or not the archive that Keras writes, with config.json and model.weights.h5; save")
    content = bytearray(save(network(layers.LSTM(4)), file).read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    refused(file, "damaged, or not the archive")


def test_pickles_folders_and_nothing_are_refused(tmp_path: Path):
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04N.")
    refused(tmp_path / "model.pkl", r"no \.h5, \.keras or \.onnx file")
    (tmp_path / "model.keras").mkdir()
    refused(tmp_path / "model.keras", "cannot be read as a network: Is a directory")
    refused(tmp_path / "absent.h5", "cannot be read as a network: No such file")


@pytest.mark.filterwarnings("ignore:.*HDF5 file")
def test_weights_without_their_network_are_refused(tmp_path: Path):
    with h5py.File(tmp_path / "model.h5", "w") as stored:
        stored["dense/kernel"] = np.zeros(3)
    refused(tmp_path / "model.h5", r"model\.save")


def write_onnx(path: Path, last: str = "Softmax", kind: int = TensorProto.FLOAT, domain: str = "") -> np.ndarray:
    """A network for one window at a time, as torch exports it; returns its kernel."""
    kernel = np.random.default_rng(1).normal(size=(LENGTH * NUMBERS, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["in"], ["flat"]),
        helper.make_node("MatMul", ["flat", "kernel"], ["sums"]),
        helper.make_node(last, ["sums"], ["out"], domain=domain),
    ]
    source = helper.make_tensor_value_info("in", kind, [1, LENGTH, NUMBERS])
    target = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 3])
    graph = helper.make_graph(nodes, "net", [source], [target], [numpy_helper.from_array(kernel, "kernel")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path, save_as_external_data=last == "Identity", location="weights.data", size_threshold=0)
    return kernel


@pytest.mark.parametrize("last", ["Softmax", "Identity"])
def test_onnx_files_with_and_without_softmax(tmp_path: Path, last: str):
    kernel = write_onnx(tmp_path / "model.onnx", last)
    expected = tf.nn.softmax(THEIRS.reshape(len(THEIRS), -1) @ kernel)
    np.testing.assert_allclose(imported(tmp_path / "model.onnx")(WINDOWS), expected, atol=1e-5)


def test_onnx_files_for_something_else_are_refused(tmp_path: Path):
    write_onnx(tmp_path / "double.onnx", kind=TensorProto.DOUBLE)
    refused(tmp_path / "double.onnx", "other than float32")
    write_onnx(tmp_path / "custom.onnx", "Mine", domain="mine")
    refused(tmp_path / "custom.onnx", "mine")
    write_onnx(tmp_path / "thief.onnx", "Identity")
    content = (tmp_path / "thief.onnx").read_bytes()
    (tmp_path / "thief.onnx").write_bytes(content.replace(b"weights.data", b"../../secret"))
    refused(tmp_path / "thief.onnx", "cannot be read as a network")


@pytest.mark.parametrize(
    ("labels", "idle", "why"),
    [
        (["a", "b", "a"], [], "all different"),
        (["a"], [], "two or more"),
        (["a", "b", "../c"], [], "cannot (be a|name a) label"),
        (["a", "b", ""], [], "cannot name a label"),
        (LABELS, ["rest"], "--idle rest is not one of the labels a,b,c"),
    ],
)
def test_labels_that_cannot_be(tmp_path: Path, labels: list[str], idle: list[str], why: str):
    with pytest.raises(UserError, match=why):
        import_model(tmp_path / "any.keras", tmp_path / "out", labels, idle, None, None)


def test_the_command(tmp_path: Path):
    file = save(network(layers.LSTM(4)), tmp_path / "model.keras")
    command = [
        sys.executable,
        "-m",
        "models.import_model",
        file,
        "--labels",
        "a, b,c",
        "--idle",
        "c",
        "--fps",
        "15",
        "--out",
    ]
    ran = subprocess.run([*command, tmp_path / "out"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "LSTM 4, Dense 3; windows of 6 frames of 126 numbers" in ran.stdout
    card = Classifier(tmp_path / "out").card
    assert (card.labels, card.idle, card.window.fps) == (LABELS, ["c"], 15)
    again = subprocess.run([*command, tmp_path / "out"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert again.stderr.count("\n") == 1


SIGNS = "predicting.....,come,sleep,eat,yes,no,good,thin,more,same,small,flower,sun,star,moon,road"
EXERCISES = "curls,lateral rises,squat,front rises,shoulder press,chest flys"  # its data lists them otherwise


def accuracy(classify: Classifier, windows: np.ndarray, labels: Iterable[str]) -> float:
    best = classify(windows).argmax(axis=1)
    return float(np.mean([classify.card.labels[one] == label for one, label in zip(best, labels, strict=True)]))


def test_published_models_reach_what_their_authors_say(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(shared))
    from load import load

    windows, labels, _ = load(shared / "sixteen_signs.xz")
    import_model(
        shared / "peer_models/sixteen_signs_gru.h5", tmp_path / "a", SIGNS.split(","), ["predicting....."], None, None
    )
    assert accuracy(Classifier(tmp_path / "a"), windows, labels) == pytest.approx(0.996, abs=0.005)

    theirs = np.load(shared / "peer_models/six_exercises_pose132.npz")
    file = shared / "peer_models/six_exercises_pose132.keras"
    import_model(file, tmp_path / "b", EXERCISES.split(","), [], None, None)
    windows = np.stack([to_holistic(file, window) for window in theirs["X"]])
    assert accuracy(Classifier(tmp_path / "b"), windows, theirs["actions"][theirs["y"]]) == pytest.approx(
        0.928, abs=0.005
    )

    sequences = dataset.read(shared / "mp_data_mit/MP_Data")
    import_model(shared / "mp_data_mit/action.h5", tmp_path / "c", ["hello", "thanks", "iloveyou"], [], None, None)
    windows = np.stack([one.keypoints for one in sequences])
    assert accuracy(Classifier(tmp_path / "c"), windows, [one.label for one in sequences]) > 0.6
