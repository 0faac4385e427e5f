"""The shipped engine can learn: it keeps the very photos that calibrated it."""

import hashlib

import numpy as np
import pytest

from inspectd.inference import load_bundle
from inspectd.learning import fitting
from inspectd.learning.learned import Judges, kept_rows
from inspectd.learning.network import OpenNetwork
from inspectd.shipped import shipped


def test_it_keeps_the_photos_that_chose_its_threshold():
    bundle = load_bundle(shipped("engines/filter-label"))
    manifest, rows = bundle.manifest, kept_rows(bundle)
    calibration = rows.take(rows.calibrates)
    digests = "".join(calibration.digests).encode()
    assert hashlib.sha256(digests).hexdigest() == manifest.threshold.calibration_fingerprint
    head = OpenNetwork(bundle).head
    limits = fitting.limits_of(manifest)
    again, _ = fitting.choose_threshold(rows, head.scores(rows.features), manifest, limits, 0.0)
    assert again.value == pytest.approx(manifest.threshold.value, abs=0.002)
    assert again.alpha == manifest.threshold.alpha
    assert again.false_accepts == manifest.threshold.false_accepts
    good = calibration.truths == manifest.pass_class
    rejected = np.count_nonzero(~Judges.of(head, manifest).passes(calibration)[good])
    assert rejected == pytest.approx(manifest.threshold.false_reject_rate * manifest.threshold.n_good, abs=1)
    assert set(rows.truths[rows.fits]) == set(manifest.classes)
