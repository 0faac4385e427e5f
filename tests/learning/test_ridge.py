"""The regression, whichever way it is solved."""

import numpy as np
import pytest

from inspectd.learning import ridge


@pytest.mark.parametrize("photos", [30, 90])
def test_it_is_the_ridge_regression_with_few_photos_and_with_many(photos):
    rng = np.random.default_rng(0)
    features, labels = rng.normal(3, 2, (photos, 40)), np.arange(photos) % 3
    targets = np.eye(3)[labels]
    found = ridge.fit(features, targets, labels)
    spread = features.std(axis=0)
    spread = spread + 0.1 * spread.mean()
    inputs = np.column_stack([(features - features.mean(axis=0)) / spread / np.sqrt(40), np.ones(photos)])
    stacked = np.concatenate([inputs, np.eye(41)])  # least squares with a penalty of 1 on every weight
    weights = np.linalg.lstsq(stacked, np.concatenate([targets, np.zeros((41, 3))]), rcond=None)[0]
    assert found.predict(features) == pytest.approx(inputs @ weights)
