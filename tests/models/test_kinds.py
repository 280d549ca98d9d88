"""Every kind of network: its shapes, that it learns, and what the batches it learns from hold."""

import numpy as np
import pytest

from common.fast_lstm import accelerated
from common.features import BODY, size
from common.landmarks import SIZE
from models.kinds import BATCH, KINDS, Variants, build, prepare


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_tells_probabilities_of_any_window(kind):
    model = build(kind, 12, size(BODY), 4)
    windows = np.random.default_rng(0).normal(0, 1, (3, 12, size(BODY))).astype(np.float32)
    rows = model(windows).numpy()
    assert rows.shape == (3, 4)
    assert rows.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert model.count_params() < 600_000
    live = accelerated(model)
    assert live(windows, training=False).numpy() == pytest.approx(rows, abs=1e-5)


def test_the_notebooks_kind_is_the_notebooks():
    assert build("lstm", 30, SIZE, 5).count_params() == 596_741


def test_a_kind_learns_from_few_examples_and_steps():
    rng = np.random.default_rng(0)
    targets = np.repeat([0, 1], 12)
    variants = rng.normal(0, 0.5, (3, 24, 8, 5)).astype(np.float32)
    variants[:, :, :4, 0] += targets[:, None]  # early in one, late in the other
    variants[:, :, 4:, 0] += 1 - targets[:, None]
    model = build("conv", 8, 5, 2)
    prepare(model, epochs=4)
    model.fit(Variants(variants, targets, 2, seed=0), epochs=4, verbose=0)
    assert (model(variants[0]).numpy().argmax(axis=1) == targets).mean() > 0.9


def test_batches_are_seeded_and_have_every_label_equally_often():
    targets = np.array([0] * 90 + [1] * 10)
    variants = np.arange(200, dtype=np.float32).reshape(2, 100, 1, 1)
    batches, again = (Variants(variants, targets, 2, seed=1) for _ in range(2))
    found = [batches[index] for index in range(len(batches))]
    for (windows, labels), (same, _) in zip(found, (again[index] for index in range(len(again))), strict=True):
        assert np.array_equal(windows, same)
        assert windows.shape == (BATCH, 1, 1)
        assert np.array_equal(labels.argmax(axis=1), targets[windows.ravel().astype(int) % 100])
    shares = np.concatenate([labels for _, labels in found]).mean(axis=0)
    assert shares == pytest.approx([0.5, 0.5], abs=0.05)
