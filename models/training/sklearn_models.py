"""Fit scikit-learn pipelines to flattened windows."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from models.training_data.training_set import TrainingSet

PCA_COMPONENTS: Final = 150  # of 3630 numbers, on all of which most methods take too long
MAX_ROWS: Final = 6000  # windows, of all copies
TREES: Final = 200
MIN_SAMPLES_LEAF: Final = 2  # windows in a leaf, so that a tree is not certain of one


def fit_pipeline(architecture: str, training_set: TrainingSet, seed: int) -> Pipeline:
    """Fit a pipeline with probabilities, whose classes are the indices of the labels in the training set."""
    rows, targets, weights = _rows(training_set, np.random.default_rng(seed))
    steps = [("scale", StandardScaler())]
    if architecture != "forest":
        steps.append(("reduce", PCA(min(PCA_COMPONENTS, *rows.shape), svd_solver="randomized", random_state=seed)))
    model = Pipeline([*steps, ("classify", _estimator(architecture, seed))])
    model.fit(rows, targets, classify__sample_weight=weights)
    if architecture == "forest":
        model["classify"].set_params(n_jobs=1)  # for one window, a single thread is faster
    return model


def _estimator(architecture: str, seed: int) -> Any:
    if architecture == "forest":
        return RandomForestClassifier(TREES, min_samples_leaf=MIN_SAMPLES_LEAF, random_state=seed, n_jobs=-1)
    if architecture == "boosting":
        return HistGradientBoostingClassifier(max_iter=60, random_state=seed)
    if architecture == "ridge":
        return CalibratedClassifierCV(RidgeClassifier(alpha=10.0), ensemble=False)
    return LogisticRegression(C=0.1, max_iter=300)


def _rows(
    training_set: TrainingSet, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.float64]]:
    """Return rows (m, length * F), the most probable label of each, and its weight; all of the first copy are in it."""
    copies, n = training_set.features.shape[:2]
    chosen = np.arange(copies * n)
    if len(chosen) > MAX_ROWS:
        chosen = np.sort(
            np.concatenate([chosen[:n], n + rng.choice(len(chosen) - n, max(0, MAX_ROWS - n), replace=False)])
        )
    rows = training_set.features.reshape(copies * n, -1)[chosen]
    weights = training_set.sample_weight[chosen % n]
    return rows, training_set.targets.reshape(copies * n, -1)[chosen].argmax(axis=1), weights / weights.mean()


def count_parameters(model: Pipeline) -> int:
    """Return how many numbers were fitted; for trees, their nodes."""
    estimator = model["classify"]
    if isinstance(estimator, RandomForestClassifier):
        return sum(tree.tree_.node_count for tree in estimator.estimators_)
    if isinstance(estimator, HistGradientBoostingClassifier):
        return sum(len(tree.nodes) for trees in vars(estimator)["_predictors"] for tree in trees)  # private
    linear = estimator
    if isinstance(estimator, CalibratedClassifierCV):
        linear = estimator.calibrated_classifiers_[0].estimator
    return int(linear.coef_.size + linear.intercept_.size)
