"""Compare synthetic photos with unseen real ones, for each class and together; and, beside it, other real photos."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from inspectd.binomial import interval, mcnemar
from inspectd.errors import ConfigError
from inspectd_tools.networks.classifier import SoftmaxHead
from inspectd_tools.synthetic.quality.features import FeatureSpace
from inspectd_tools.synthetic.quality.photos import Compared
from inspectd_tools.synthetic.quality.similarity import Estimate, Features, fid, kid, precision, recall

TOGETHER = "together"
_LEAST = 5


@dataclass(frozen=True, slots=True)
class Similarity:
    """How similar the `compared` photos, synthetic or real, are to the unseen real photos of the class."""

    of_class: str
    compared: str
    n: int
    n_unseen: int
    kid: Estimate
    fid: float
    n_fid: int
    """Images in each of the two sets; the same for both rows of a class."""
    precision: Estimate
    recall: Estimate


@dataclass(frozen=True, slots=True)
class Probe:
    """Accuracy of a linear probe on the unseen real photos."""

    trained_on: str
    n: int
    n_unseen: int
    accuracy: Estimate
    balanced_accuracy: float
    p_value: float | None
    """McNemar test against the probe that was trained on real photos only; None for that one."""


@dataclass(frozen=True, slots=True)
class Score:
    feature_space: str
    compared_at_px: int
    similarity: tuple[Similarity, ...]
    probes: tuple[Probe, ...]

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def score(photos: Compared, space: FeatureSpace, seed: int = 0) -> Score:
    """Compute all figures. Raises ConfigError naming a class with too few photos."""
    synthetic, known, unseen = (
        (space(images.pixels, what), images.labels)
        for images, what in ((photos.synthetic, "synthetic"), (photos.known, "real"), (photos.unseen, "unseen"))
    )
    labels = np.unique(synthetic[1])
    groups = {photos.classes[label]: [label] for label in labels} | {TOGETHER: labels.tolist()}
    rows: list[Similarity] = []
    for name, chosen in groups.items():
        made, seen, new = (features[np.isin(of, chosen)] for features, of in (synthetic, known, unseen))
        if min(len(made), len(seen), len(new)) < _LEAST:
            counts = f"{len(made)} synthetic, {len(seen)} real and {len(new)} unseen real photos"
            raise ConfigError(f"{name}: has {counts}; there must be at least {_LEAST} of each")
        rows += _rows(name, made, seen, new, seed)
    return Score(space.name, photos.side_px, tuple(rows), tuple(_probes(synthetic, known, unseen, len(photos.classes))))


def similarity_table(score: Score) -> Table:
    table = Table(
        *("class", "compared", "n", "KID x 1000 (95 %)", "FID", "precision (95 %)", "recall (95 %)"),
        title=f"against unseen real photos\n{score.feature_space}, images compared at {score.compared_at_px} px",
        caption="KID: 0 means no difference, below 0 is chance. FID falls with n: compare only the two rows of one class.\n"
        "real: photos that the synthetic ones may have been made from, compared with unseen ones",
    )
    for row in score.similarity:
        kid_text = f"{1000 * row.kid.value:.2f} ({1000 * row.kid.low:.2f} to {1000 * row.kid.high:.2f})"
        table.add_row(
            *(row.of_class, row.compared, f"{row.n} : {row.n_unseen}", kid_text, f"{row.fid:.1f} (n = {row.n_fid})"),
            *(f"{rate.value:.2f} ({rate.low:.2f} to {rate.high:.2f})" for rate in (row.precision, row.recall)),
            end_section=row.compared == "real",
        )
    return table


def probe_table(score: Score) -> Table:
    table = Table(
        *("trained on", "n", "accuracy (95 %)", "balanced", "p against real"),
        title="linear probe on the same features, tested on unseen real photos",
        caption="a quick substitute for training the network; only training shows for certain whether they help",
    )
    for row in score.probes:
        rate = row.accuracy
        table.add_row(
            row.trained_on,
            str(row.n),
            f"{rate.value:.3f} ({rate.low:.3f} to {rate.high:.3f}), n = {row.n_unseen}",
            f"{row.balanced_accuracy:.3f}",
            "" if row.p_value is None else f"{row.p_value:.2g}",
        )
    return table


def _rows(name: str, synthetic: Features, known: Features, unseen: Features, seed: int) -> list[Similarity]:
    rng = np.random.default_rng(seed)
    n_fid = min(len(synthetic), len(known), len(unseen))
    some = {id(features): features[rng.permutation(len(features))[:n_fid]] for features in (synthetic, known, unseen)}
    return [
        Similarity(
            of_class=name,
            compared=compared,
            n=len(features),
            n_unseen=len(unseen),
            kid=kid(features, unseen, seed),
            fid=fid(some[id(features)], some[id(unseen)]),
            n_fid=n_fid,
            precision=precision(features, unseen),
            recall=recall(features, unseen),
        )
        for compared, features in (("synthetic", synthetic), ("real", known))
    ]


_Labelled = tuple[Features, NDArray[np.int64]]


def _probes(synthetic: _Labelled, known: _Labelled, unseen: _Labelled, class_count: int) -> list[Probe]:
    """Without synthetic photos of every class, no probe is trained on synthetic photos alone."""
    both = (np.concatenate([known[0], synthetic[0]]), np.concatenate([known[1], synthetic[1]]))
    sets = {"real": known, "synthetic": synthetic, "real + synthetic": both}
    if len(np.unique(synthetic[1])) < class_count:
        del sets["synthetic"]
    tested, truth = torch.from_numpy(unseen[0]).float(), unseen[1]
    right = {}
    for name, (features, labels) in sets.items():
        probe = SoftmaxHead(features.shape[1], class_count)
        probe.fit(torch.from_numpy(features).float(), torch.from_numpy(labels), torch.ones(class_count))
        right[name] = probe(tested).argmax(1).numpy() == truth
    return [_probe(name, len(sets[name][1]), hits, right["real"], truth) for name, hits in right.items()]


def _probe(
    name: str, n: int, hits: NDArray[np.bool_], hits_of_real: NDArray[np.bool_], truth: NDArray[np.int64]
) -> Probe:
    count = int(hits.sum())
    p_value = mcnemar(int((hits & ~hits_of_real).sum()), int((hits_of_real & ~hits).sum()))
    return Probe(
        trained_on=name,
        n=n,
        n_unseen=len(truth),
        accuracy=Estimate(count / len(truth), *interval(count, len(truth))),
        balanced_accuracy=float(np.mean([hits[truth == label].mean() for label in np.unique(truth)])),
        p_value=None if name == "real" else p_value,
    )
