"""Check that all formats of weights return the same probabilities, and which model folders are refused."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import skops.io
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from common.errors import UserError
from common.keypoints.features import Features, features, raw_of
from common.keypoints.landmarks import SIZE, VECTOR_SIZES
from common.recognition.backends import LOADERS, reason
from common.recognition.classifier import CARD, Classifier, WindowSpec, read_card, temperature_scale
from tests.pipeline import ROOT

TESTCARD = ROOT / "pretrained" / "testcard"
LENGTH, LABELS = 5, ["a", "b", "c"]
RNG = np.random.default_rng(0)
WINDOWS = RNG.uniform(size=(70, LENGTH, SIZE)).astype(np.float32)
TARGETS = np.arange(70) % 3


def folder_with_card(folder: Path, size: int = SIZE, labels: list[str] = LABELS, length: int = LENGTH) -> Path:
    shape = WindowSpec(length=length, fps=None)
    card = msgspec.structs.replace(read_card(TESTCARD), labels=labels, idle=[], window=shape, features=raw_of(size))
    folder.mkdir(exist_ok=True)
    (folder / CARD).write_bytes(msgspec.json.encode(card))
    return folder


def linear(size: int) -> np.ndarray:
    return np.random.default_rng(size).normal(size=(LENGTH * size, len(LABELS))).astype(np.float32) / size


def softmax(logits: np.ndarray) -> np.ndarray:
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def write_onnx(path: Path, size: int = SIZE, batch: int | str = "windows") -> None:
    """The simplest network: flat windows times `linear`, softmax."""
    nodes = [
        helper.make_node("Flatten", ["in"], ["flat"]),
        helper.make_node("MatMul", ["flat", "kernel"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["out"]),
    ]
    source = helper.make_tensor_value_info("in", TensorProto.FLOAT, [batch, LENGTH, size])
    target = helper.make_tensor_value_info("out", TensorProto.FLOAT, [batch, len(LABELS)])
    graph = helper.make_graph(nodes, "net", [source], [target], [numpy_helper.from_array(linear(size), "kernel")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def write_tflite(path: Path, size: int = SIZE, batch: int | None = None) -> None:
    import tensorflow as tf

    layers = tf.keras.layers
    inputs = layers.Input(batch_shape=(batch, LENGTH, size))
    model = tf.keras.Sequential([inputs, layers.Flatten(), layers.Dense(3, activation="softmax", use_bias=False)])
    model.set_weights([linear(size)])
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())


@pytest.mark.parametrize("size", VECTOR_SIZES)
def test_a_network_gets_the_parts_it_was_trained_on(tmp_path: Path, size: int):
    write_onnx(folder_with_card(tmp_path, size) / "model.onnx", size)
    expected = softmax(features(WINDOWS, raw_of(size)).reshape(len(WINDOWS), -1) @ linear(size))
    np.testing.assert_allclose(Classifier(tmp_path)(WINDOWS), expected, atol=1e-5)


@pytest.mark.parametrize("batch", [None, 1, 4])
@pytest.mark.parametrize("suffix", [".onnx", ".tflite"])
def test_any_number_of_windows_whatever_the_batch_of_the_weights(tmp_path: Path, suffix: str, batch: int | None):
    path = folder_with_card(tmp_path) / f"model{suffix}"
    write_onnx(path, batch=batch or "windows") if suffix == ".onnx" else write_tflite(path, batch=batch)
    classify = Classifier(tmp_path)
    expected = softmax(WINDOWS.reshape(len(WINDOWS), -1) @ linear(SIZE))
    for number in (0, 1, 2, 8, 9, 70):
        np.testing.assert_allclose(classify(WINDOWS[:number]), expected[:number], atol=1e-5)


def test_the_network_gets_the_features_its_card_says(tmp_path: Path):
    folder_with_card(tmp_path)
    card = msgspec.structs.replace(read_card(tmp_path), features=Features(kind="body", parts=("hands",)))
    (tmp_path / CARD).write_bytes(msgspec.json.encode(card))
    given = features(WINDOWS, card.features)
    write_onnx(tmp_path / "model.onnx", given.shape[-1])
    expected = softmax(given.reshape(len(WINDOWS), -1) @ linear(given.shape[-1]))
    np.testing.assert_allclose(Classifier(tmp_path)(WINDOWS), expected, atol=1e-5)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_a_temperature_divides_the_logits(temperature: float):
    logits = RNG.normal(0, 3, (20, 5))
    tempered_rows = temperature_scale(softmax(logits).astype(np.float32), temperature)
    np.testing.assert_allclose(tempered_rows, softmax(logits / temperature), atol=1e-5)
    np.testing.assert_allclose(
        temperature_scale(np.array([[1, 0, 0]], np.float32), temperature), [[1, 0, 0]], atol=1e-6
    )


def test_the_shipped_model_predicts_the_same_for_one_window_and_for_many():
    classify = Classifier(TESTCARD)
    windows = RNG.uniform(size=(11, 30, SIZE)).astype(np.float32)
    together = classify(windows)
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(together, np.concatenate([classify(one[None]) for one in windows]), atol=1e-5)
    assert classify(windows[:0]).shape == (0, 4)
    with pytest.raises(ValueError, match=r"\(30, 1662\), not of \(30, 132\)"):
        classify(windows[..., :132])


@pytest.mark.parametrize("frames", [False, True])
@pytest.mark.parametrize("kind", [RandomForestClassifier(5), HistGradientBoostingClassifier(max_iter=2)])
def test_sklearn_models_of_windows_and_of_frames(tmp_path: Path, kind: object, frames: bool):
    flat = features(WINDOWS, raw_of(126)).reshape(-1, 126 if frames else 126 * LENGTH)
    model = make_pipeline(StandardScaler(), kind).fit(flat, np.repeat(TARGETS, LENGTH) if frames else TARGETS)
    skops.io.dump(model, folder_with_card(tmp_path, 126) / "model.skops")
    expected = model.predict_proba(flat).reshape(len(WINDOWS), -1, 3).mean(axis=1)
    np.testing.assert_allclose(Classifier(tmp_path)(WINDOWS), expected, atol=1e-6)


def test_sklearn_models_that_would_run_code_are_refused(tmp_path: Path):
    mark = tmp_path / "ran"
    step = FunctionTransformer(os.system, kw_args={"command": f"touch {mark}"})
    model = make_pipeline(step, RandomForestClassifier(2))
    skops.io.dump(model, folder_with_card(tmp_path, 126) / "model.skops")
    with pytest.raises(UserError, match="system"):
        Classifier(tmp_path)
    assert not mark.exists()


def test_sklearn_models_with_other_labels_are_refused(tmp_path: Path):
    flat = features(WINDOWS, raw_of(126)).reshape(len(WINDOWS), -1)
    model = RandomForestClassifier(2).fit(flat, np.array(["c", "b", "x"])[TARGETS])
    skops.io.dump(model, folder_with_card(tmp_path, 126) / "model.skops")
    with pytest.raises(UserError, match=r"\['b', 'c', 'x'\].*\['a', 'b', 'c'\]"):
        Classifier(tmp_path)


@pytest.mark.parametrize(
    ("changes", "both"),
    [
        ({"labels": ["a", "b"]}, r"\(1, 3\).*\(1, 2\)"),
        ({"length": 7}, r"\(5, 1662\).*\(7, 1662\)"),
        ({"size": 258}, r"\(5, 1662\).*\(5, 258\)"),
    ],
)
def test_a_card_that_disagrees_is_refused_naming_both(tmp_path: Path, changes: dict, both: str):
    write_onnx(folder_with_card(tmp_path, **changes) / "model.onnx")
    with pytest.raises(UserError, match=both):
        Classifier(tmp_path)


@pytest.mark.parametrize("content", [b"", b"This is not a network.\n", b"PK\x03\x04 cut"])
@pytest.mark.parametrize("suffix", LOADERS)
def test_damaged_weights_are_reported_in_one_sentence(tmp_path: Path, suffix: str, content: bytes):
    (folder_with_card(tmp_path) / f"model{suffix}").write_bytes(content)
    with pytest.raises(UserError, match=f"model{suffix} cannot be loaded: .") as caught:
        Classifier(tmp_path)
    assert "\n" not in str(caught.value)


def test_errors_of_keras_and_tensorflow_are_reduced_to_the_line_with_the_cause():
    import tensorflow as tf

    lstm = tf.keras.layers.LSTM(2)

    def outside_a_layer(rows: object) -> object:
        return tf.matmul(rows, tf.ones((3, 1)))

    def in_a_layer(rows: object) -> object:
        return lstm(rows[None], initial_state=[tf.ones((1, 5)), tf.ones((1, 5))])

    for wrong in (outside_a_layer, in_a_layer):
        with pytest.raises(ValueError, match="in user code:") as caught:
            tf.function(wrong)(tf.ones((1, 2)))
        assert "Dimensions must be equal" in reason(caught.value) and "\n" not in reason(caught.value)


def test_no_weights_and_two_of_them(tmp_path: Path):
    folder_with_card(tmp_path)
    with pytest.raises(UserError, match="it has none"):
        Classifier(tmp_path)
    for name in ("model.onnx", "model.tflite"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UserError, match=r"model\.tflite and model\.onnx"):
        Classifier(tmp_path)


def test_a_runtime_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_onnx(folder_with_card(tmp_path) / "model.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match="needs the package onnxruntime"):
        Classifier(tmp_path)


def test_litert_starts_without_tensorflow(tmp_path: Path):
    write_tflite(folder_with_card(tmp_path) / "model.tflite")
    script = (
        "import sys; from common.recognition.classifier import Classifier; Classifier(sys.argv[1]);"
        "print('tensorflow' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", script, tmp_path], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
    assert ran.stderr == ""
