"""What is learned from reviewed photos, what is refused, and that wrong labels never teach an engine."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from inspectd.commands.learn.report import changes
from inspectd.errors import EngineError
from inspectd.inference.bundle import load_bundle
from inspectd.inference.manifest import GuardModel
from inspectd.learning import learned, photos
from inspectd.learning.fitting import certainties, deal
from inspectd.learning.learned import LineCounts, kept_rows, learn_from
from inspectd.learning.network import OpenNetwork, replaced
from inspectd.learning.photos import REVIEWED_UNKNOWN, Judged
from inspectd.learning.proof import Golden, lost, worse
from inspectd.learning.rows import Rows, unpacked
from inspectd.records.reviews import Reviewed
from tests.learning.product import CLASSES, GOOD, UNKNOWN, Product, features_of, make_engine, no_guard

NAMES = np.array([*CLASSES, REVIEWED_UNKNOWN])
HOLE, SCRATCH = "hole", "scratch"


@dataclass(frozen=True)
class Line:
    """An engine, and the labels that it has judged."""

    bundle: object
    network: OpenNetwork
    kept: Rows
    truths: np.ndarray
    features: np.ndarray
    passes: np.ndarray
    counts: LineCounts

    def judged(self, labels: np.ndarray, confirmed: np.ndarray | None = None) -> Judged:
        """As people reviewed them: all rejects, and a third of the passes."""
        places = np.flatnonzero(~self.passes | (np.arange(len(self.passes)) % 3 == 0))
        numbers = np.array([NAMES.tolist().index(label) for label in labels[places]])
        count, none = len(places), np.zeros(len(places), bool)
        blocks = np.arange(count) // 10
        digests = tuple(f"{place:064x}" for place in places)
        rows = Rows(
            tuple(NAMES),
            self.features[places],
            numbers,
            np.arange(count),
            blocks % 2 == 0,
            none,
            no_guard(count),
            digests,
        )
        return Judged(
            rows, places, (Path(),) * count, none if confirmed is None else confirmed[places], blocks, Counter()
        )

    def learn(self, labels: np.ndarray, confirmed: np.ndarray | None = None) -> learned.Learned:
        return learn_from(self.bundle, self.network, self.kept, self.judged(labels, confirmed), self.counts)

    def errors(self, found: learned.Learned | None) -> tuple[float, float]:
        """Shares of bad labels that pass and of good ones that are rejected, on labels that nobody reviewed."""
        truths, features = draw(Product(), 600, seed=99)
        head, threshold = self.network.head, self.bundle.manifest.threshold.value
        if found is not None:
            head, threshold = found.candidate.head, found.candidate.threshold.value
        rows = Rows(
            CLASSES, features, *(np.zeros(600, int),) * 2, *(np.zeros(600, bool),) * 2, no_guard(600), ("",) * 600
        )
        passes = certainties(rows, head.scores(features), self.bundle.manifest, ()) >= threshold
        return float(passes[truths != GOOD].mean()), float((~passes[truths == GOOD]).mean())


def draw(product: Product, count: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Half of them from a new lot."""
    rng = np.random.default_rng(seed)
    truths = rng.choice([GOOD, HOLE, SCRATCH, UNKNOWN], count, p=[0.6, 0.16, 0.16, 0.08])
    features = np.array([features_of(product.photo(str(name), rng, new_lot=rng.random() < 0.5)) for name in truths])
    return np.where(truths == UNKNOWN, REVIEWED_UNKNOWN, truths), features


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Path:
    return make_engine(tmp_path_factory.mktemp("engine") / "tiny")


@pytest.fixture(scope="module")
def line(engine) -> Line:
    bundle = load_bundle(engine)
    network = OpenNetwork(bundle)
    truths, features = draw(Product(), 300, seed=1)
    scores = network.head.scores(features)
    passes = (scores.argmax(1) == 0) & (scores.max(1) >= bundle.manifest.threshold.value)
    counts = LineCounts(int(passes.sum()), int((~passes).sum()))
    return Line(bundle, network, kept_rows(bundle), truths, features, passes, counts)


def test_a_new_lot_is_learned_and_proven(line):
    found = line.learn(line.truths)
    assert found.reasons == ()
    assert not found.needs_training
    (accepts, rejects), (accepts_before, rejects_before) = line.errors(found), line.errors(None)
    assert rejects < 0.15 < 0.3 < rejects_before
    assert accepts <= accepts_before + 0.02
    assert found.candidate.threshold.alpha <= line.bundle.manifest.threshold.alpha
    assert found.proof.false_rejects.errors[1] < found.proof.false_rejects.errors[0]


@pytest.mark.parametrize("start", [0.0, 0.98])
def test_the_proof_moves_a_threshold_that_it_does_not_allow(line, start):
    usable = line.judged(line.truths)
    manifest = line.bundle.manifest
    draft = learned._fit(manifest, line.network.head, line.kept, usable, line.counts)
    one_threshold = draft.at(start, manifest).threshold.value
    candidate, proof = learned._settle(
        line.bundle, line.network, line.kept, usable, replace(draft, likeliest=start), line.counts
    )
    assert proof.reasons() == []
    assert candidate.threshold.value < one_threshold if start else candidate.threshold.value >= one_threshold


def test_what_proves_does_not_fit(line):
    found = line.learn(line.truths)
    rows = found.judged.rows
    fitted = set(found.candidate.rows.digests)
    assert fitted >= {digest for digest, fits in zip(rows.digests, rows.fits, strict=True) if fits}
    assert fitted.isdisjoint(digest for digest, fits in zip(rows.digests, rows.fits, strict=True) if not fits)


SWAPS = {
    "good and bad": lambda labels, which: np.where(which, np.where(labels == GOOD, HOLE, GOOD), labels),
    "good as bad": lambda labels, which: np.where(which & (labels == GOOD), SCRATCH, labels),
    "good as unknown": lambda labels, which: np.where(which & (labels == GOOD), REVIEWED_UNKNOWN, labels),
    "bad as good": lambda labels, which: np.where(which & (labels != GOOD), GOOD, labels),
    "faults": lambda labels, which: np.where(
        which & np.isin(labels, (HOLE, SCRATCH)), np.where(labels == HOLE, SCRATCH, HOLE), labels
    ),
}


@pytest.mark.parametrize("swap", SWAPS)
@pytest.mark.parametrize("share", [0.1, 0.4, 1.0])
def test_swapped_labels_never_teach_an_engine(line, swap, share):
    labels = line.truths.astype("U20")
    which = np.zeros(len(labels), bool)
    for name in np.unique(labels):  # the same share of each label
        own = np.random.default_rng(0).permutation(np.flatnonzero(labels == name))
        which[own[: round(share * len(own))]] = True
    assert line.learn(SWAPS[swap](labels, which)).reasons


def test_a_second_person_settles_a_doubt(line):
    labels = line.truths.astype("U20")
    odd = np.flatnonzero(labels == GOOD)[:40]
    labels[odd] = HOLE
    alone = line.learn(labels)
    assert "A second person should review these parts" in alone.reasons[0]
    assert set(alone.usable.line_parts[alone.doubts.worst_first].tolist()) <= set(odd.tolist())
    assert not line.learn(labels, np.isin(np.arange(len(labels)), odd)).doubts.too_many


def test_two_people_vouch_for_labels_that_contradict_a_weak_engine(line):
    """All labels are swapped, or the engine has learned them swapped. Only other people can tell."""
    labels = SWAPS["good and bad"](line.truths.astype("U20"), np.ones(len(line.truths), bool))
    assert any("do not agree with the engine in use" in reason for reason in line.learn(labels).reasons)
    twice = np.arange(len(labels)) % 5 == 0
    vouched = line.judged(labels, twice)
    disputed = replace(vouched, left_out=Counter({photos.DISAGREE: int(vouched.confirmed.sum())}))

    def chance(judged):
        return learn_from(line.bundle, line.network, line.kept, judged, line.counts).doubts.sides_by_chance

    assert chance(vouched) == 0
    assert chance(disputed) > 0.9


def test_few_photos_are_refused_and_it_says_how_many_more(line):
    few = line.judged(line.truths)
    few = few.take(np.arange(len(few.rows)) < 40)
    found = learn_from(line.bundle, line.network, line.kept, few, line.counts)
    assert any("It is not shown" in reason for reason in found.reasons)
    assert any("more faulty or unknown ones that the engine rejects" in wanted for wanted in found.proof.wanted())


def test_a_new_class_needs_a_training(line):
    judged = line.judged(line.truths)
    rows = replace(judged.rows, names=(*CLASSES, "dent"))
    found = learn_from(line.bundle, line.network, line.kept, replace(judged, rows=rows), line.counts)
    assert found.needs_training
    assert "The engine has no class dent; only a training can add a class." in found.reasons


def test_photos_that_no_head_separates_need_a_training(line):
    rng = np.random.default_rng(0)
    judged = line.judged(rng.permutation(line.truths), np.ones(len(line.truths), bool))
    found = learn_from(line.bundle, line.network, line.kept, judged, line.counts)
    assert found.reasons
    assert found.needs_training


@pytest.mark.parametrize("people", [1, 2])
def test_two_people_can_make_the_guard_accept_what_it_stopped(line, people):
    """The guard finds the new lot unusual, which the network knows by now."""
    rng = np.random.default_rng(0)
    guard = GuardModel(
        path="guard.npz",
        sha256="0" * 64,
        kinds=("part",),
        limits=(1.5,),
        golden_scores=((1.0,),) * len(line.bundle.manifest.golden),
        fitted_to=50,
        n_good=50,
        rejected_good=0,
    )
    manifest = line.bundle.manifest.model_copy(update={"guard": guard})
    bundle = SimpleNamespace(folder=line.bundle.folder, manifest=manifest)
    kept = replace(line.kept, guard=rng.lognormal(0, 0.1, (len(line.kept), 1)).astype(np.float32))
    truths, features = draw(Product(lot=0), 300, seed=4)
    scores = rng.lognormal(0, 0.1, (300, 1)).astype(np.float32)
    scores[::3] *= 2
    scores[truths == REVIEWED_UNKNOWN] *= 4
    own = replace(line, bundle=bundle, kept=kept, truths=truths, features=features, passes=np.zeros(300, bool))
    judged = own.judged(truths, np.full(300, people > 1))
    judged = replace(judged, rows=replace(judged.rows, guard=scores))
    found = learn_from(bundle, line.network, kept, judged, None)
    (limit,) = found.candidate.limits
    assert limit > 1.9 if people > 1 else limit < 1.5
    rises = f"The guard accepts more: its limit for part was 1.50, and is {limit:.2f}."
    assert (rises in changes(manifest, found.candidate)) is (people > 1)
    assert found.candidate.beyond.share <= 0.01
    before, after = found.proof.false_rejects.errors
    assert after < before if people > 1 else after >= before
    assert found.proof.false_accepts.new_errors == 0


def test_an_engine_without_its_photos_cannot_learn(line):
    bundle = SimpleNamespace(
        folder=line.bundle.folder, manifest=line.bundle.manifest.model_copy(update={"learning": None})
    )
    with pytest.raises(EngineError, match="does not keep the photos that calibrated it"):
        kept_rows(bundle)


def test_weights_in_two_places_are_not_replaced(line):
    stored = line.network.stored
    data = (line.bundle.folder / "openvino" / "model.bin").read_bytes()
    assert replaced(data, stored, stored, "model.bin") == data
    with pytest.raises(EngineError, match="exactly one place"):
        replaced(data + data, stored, stored, "model.bin")


def test_rows_come_back_from_their_file(line):
    back = unpacked(line.kept.packed())
    assert back.names == line.kept.names
    assert back.digests == line.kept.digests
    assert np.array_equal(back.fits, line.kept.fits)
    spread = line.kept.features.std(axis=0).mean()
    assert np.abs(back.features - line.kept.features).max() <= spread / 32 * 2**0.5 / 2 * 1.01
    assert np.array_equal(unpacked(back.packed()).features, back.features), "rounded only once"
    for spoilt in (b"", line.kept.packed()[:-40], replace(line.kept, labels=line.kept.labels + 9).packed()):
        with pytest.raises(ValueError, match=r"not a file|labels"):
            unpacked(spoilt)


def test_groups_stay_in_one_fold_and_every_label_is_in_several():
    rng = np.random.default_rng(0)
    groups, labels = rng.integers(0, 30, 200), rng.integers(0, 3, 200)
    folds = deal(groups, labels)
    assert all(len(set(folds[groups == group].tolist())) == 1 for group in groups)
    assert all(len(set(folds[labels == label].tolist())) > 1 for label in range(3))


@pytest.mark.parametrize(
    ("shows", "old", "new", "is_worse"),
    [
        (HOLE, HOLE, GOOD, True),
        (HOLE, "unknown", GOOD, True),
        (HOLE, HOLE, SCRATCH, True),
        (HOLE, HOLE, "unknown", False),
        (HOLE, "unknown", HOLE, False),
        (HOLE, GOOD, GOOD, False),
        (GOOD, GOOD, "unknown", False),
        (GOOD, "unknown", GOOD, False),
        (UNKNOWN, "unknown", HOLE, False),
    ],
)
def test_golden_images_keep_their_verdicts(shows, old, new, is_worse):
    assert worse(Golden(shows, old, new), GOOD) is is_worse
    assert lost(Golden(shows, old, new), GOOD) is ((shows, old) == (GOOD, GOOD) != (GOOD, new))


def test_the_same_thing_is_used_once_and_never_with_two_labels():
    rng = np.random.default_rng(0)

    def photo(image, label):
        return SimpleNamespace(look=photos._look(image), label=label)

    first, second, third = (Product().photo(GOOD, rng) for _ in range(3))
    noisy = np.clip(first + rng.normal(0, 1, first.shape) + 3, 0, 255).astype(np.uint8)
    left_out = Counter()
    kept = photos._different(
        [photo(first, GOOD), photo(second, GOOD), photo(third, GOOD), photo(noisy, GOOD), photo(second, HOLE)], left_out
    )
    assert len(kept) == 2
    assert left_out == {
        "it looks the same as another one": 1,
        "photos that look the same have different labels": 2,
    }


def test_a_photo_that_the_engine_knows_proves_nothing_also_from_another_file(line, tmp_path):
    rng = np.random.default_rng(5)
    known, new = (Product().photo(GOOD, rng) for _ in range(2))
    cv2.imwrite(str(tmp_path / "known.png"), known, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    cv2.imwrite(str(tmp_path / "new.png"), new)
    reviewed = [Reviewed(part, GOOD, tmp_path / name, part, ()) for part, name in enumerate(("known.png", "new.png"))]
    row = line.kept.take(np.array([0]))
    kept = line.kept.joined(replace(row, features=features_of(known)[None], digests=("f" * 64,)))
    judged = photos.judge(reviewed, line.bundle, line.network, unpacked(kept.packed()))
    assert judged.line_parts.tolist() == [1]
    assert judged.left_out == {"the engine has learned from it before": 1}


def test_no_usable_photo_is_a_refusal(line):
    judged = line.judged(line.truths)
    none = judged.take(np.zeros(len(judged.rows), bool))
    found = learn_from(line.bundle, line.network, line.kept, none, None)
    assert found.candidate is None
    assert "too few" in found.reasons[0]
