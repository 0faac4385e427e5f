"""Few good photos: all of them fit the guard, and each has a say on the limits as judged by a guard that does not know its part."""

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from inspectd.errors import ConfigError
from inspectd.guard import limits, model
from inspectd_tools.data.manifest import DataManifest, Photo, write_manifest
from inspectd_tools.deploy.guard.fitting import fit_guard
from inspectd_tools.deploy.guard.photos import Good, GoodPhotos, good_photos
from inspectd_tools.synthetic.render.label import render
from tests.factories import sha256_of

COUNT, FOLDS = 16, 4


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("good"), []
    for number in range(COUNT + 2):
        image = render("no_fail", np.random.default_rng([78, number])).image
        cv2.imwrite(str(folder / f"{number}.png"), image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        found.append((Good(folder / f"{number}.png", sha256_of(folder / f"{number}.png")), image))
    return found


def test_the_limits_are_those_of_guards_that_do_not_know_the_photo(good):
    photos, images = zip(*good, strict=True)
    fold = tuple(number % FOLDS for number in range(COUNT))
    fitted = fit_guard(GoodPhotos(photos[:COUNT], (), photos[COUNT:], fold), 0.0)
    judgements = [None] * COUNT
    for number in range(FOLDS):
        others = [images[place] for place in range(COUNT) if fold[place] != number]
        guard = model.fit(others, fitted.guard.aligned.region)
        for place in range(COUNT):
            if fold[place] == number:
                judgements[place] = guard.judge(images[place])
    assert fitted.limits.largest == pytest.approx(limits.fit(judgements, 0.0).largest, rel=0.02)
    known = limits.fit([fitted.guard.judge(image) for image in images[:COUNT]], 0.0)
    assert fitted.limits.largest[0] > 1.2 * known.largest[0], "a guard finds nothing unusual about photos that it knows"
    strict = fit_guard(GoodPhotos(photos[:COUNT], (), photos[COUNT:], fold), 0.2)
    expected = [not strict.limits.accepts(judgement) for judgement in judgements]
    stopped = [any(np.array(scores) > strict.limits.largest) for scores in strict.unseen.values()]
    assert stopped == expected, "what the calibration of the threshold counts"
    assert sum(expected) == strict.chosen.errors > 0
    assert (fitted.chosen.n, fitted.chosen.errors, fitted.tested.n) == (COUNT, 0, 2)


@pytest.mark.parametrize(("parts", "folds"), [(99, 10), (100, 0), (14, 0)])
def test_a_manifest_with_few_good_parts_is_dealt_into_folds(tmp_path, parts, folds):
    sides = ["train"] * (parts - 10) + ["val"] * 10 + ["test"] * 10
    photos = [
        Photo(Path(f"{number}-{view}.png"), 0, side, f"part{number}", f"{number}{view}")
        for number, side in enumerate(sides)
        for view in range(2)
    ]
    bad = [Photo(Path("bad.png"), 1, "train", "bad", "bad")]
    write_manifest(DataManifest(("good", "torn"), (*photos, *bad)), tmp_path / "good.csv")
    if parts < 20:
        with pytest.raises(ConfigError, match="too few for a guard"):
            good_photos(tmp_path / "good.csv", "good", 0, may_fold=True)
        return
    found = good_photos(tmp_path / "good.csv", "good", 0, may_fold=True)
    assert len(set(found.fold)) == folds
    assert len(found.train) + len(found.val) == 2 * parts
    for one, other in zip(found.train[::2], found.train[1::2], strict=True):
        if folds:
            assert found.fold[found.train.index(one)] == found.fold[found.train.index(other)]
    assert good_photos(tmp_path / "good.csv", "good", 0).fold == ()
