"""A recipe and lessons in; a scikit-learn pipeline of flattened windows, with probabilities, out."""

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

COMPONENTS: Final = 150  # of 3630 numbers, where a method takes too long on all
ROWS: Final = 6000  # lessons at most, of all rounds
TREES: Final = 200
LEAVES: Final = 2  # lessons in a leaf, so that a tree is not sure of one


def learn(kind: str, lessons: TrainingSet, seed: int) -> Pipeline:
    """A fitted pipeline whose classes are the numbers of the labels; each must be the target of a lesson."""
    rows, targets, weights = _drawn(lessons, np.random.default_rng(seed))
    steps = [("scale", StandardScaler())]
    if kind != "forest":
        steps.append(("reduce", PCA(min(COMPONENTS, *rows.shape), svd_solver="randomized", random_state=seed)))
    model = Pipeline([*steps, ("tell", _method(kind, seed))])
    model.fit(rows, targets, tell__sample_weight=weights)
    if kind == "forest":
        model["tell"].set_params(n_jobs=1)  # one window is told sooner by one thread
    return model


def _method(kind: str, seed: int) -> Any:
    if kind == "forest":
        return RandomForestClassifier(TREES, min_samples_leaf=LEAVES, random_state=seed, n_jobs=-1)
    if kind == "boosting":
        return HistGradientBoostingClassifier(max_iter=60, random_state=seed)
    if kind == "ridge":
        return CalibratedClassifierCV(RidgeClassifier(alpha=10.0), ensemble=False)
    return LogisticRegression(C=0.1, max_iter=300)


def _drawn(
    lessons: TrainingSet, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.float64]]:
    """Rows (m, length * F), the likeliest label of each, and its weight; the first round is always among them."""
    rounds, n = lessons.features.shape[:2]
    chosen = np.arange(rounds * n)
    if len(chosen) > ROWS:
        chosen = np.sort(np.concatenate([chosen[:n], n + rng.choice(len(chosen) - n, max(0, ROWS - n), replace=False)]))
    rows = lessons.features.reshape(rounds * n, -1)[chosen]
    weights = lessons.sample_weight[chosen % n]
    return rows, lessons.targets.reshape(rounds * n, -1)[chosen].argmax(axis=1), weights / weights.mean()


def parameters(model: Pipeline) -> int:
    """Numbers that were fitted; of trees their nodes."""
    method = model["tell"]
    if isinstance(method, RandomForestClassifier):
        return sum(tree.tree_.node_count for tree in method.estimators_)
    if isinstance(method, HistGradientBoostingClassifier):
        return sum(len(tree.nodes) for trees in method._predictors for tree in trees)
    linear = method.calibrated_classifiers_[0].estimator if isinstance(method, CalibratedClassifierCV) else method
    return int(linear.coef_.size + linear.intercept_.size)
