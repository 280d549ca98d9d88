"""The seed's network, and the folding of its scaling into the first layer."""

import numpy as np
import pytest

from common.landmarks import SIZE
from models.network import Scaling, build


def test_the_seeds_network_has_the_seeds_number_of_parameters():
    assert build(30, SIZE, 5).count_params() == 596_741


def test_folding_gives_the_same_probabilities_on_raw_windows():
    rng = np.random.default_rng(0)
    windows = rng.normal(0.5, 0.2, (4, 10, SIZE)).astype(np.float32)
    scaling = Scaling.of(windows)
    model = build(10, SIZE, 3)
    scaled = model(scaling(windows)).numpy()
    assert np.ptp(scaled) > 1e-3
    scaling.fold_into(model)
    assert model(windows).numpy() == pytest.approx(scaled, abs=1e-4)
