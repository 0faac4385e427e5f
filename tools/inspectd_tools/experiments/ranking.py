"""Rank the variants of a sweep by their validation accuracy, and say which of them the runs can't distinguish."""

from collections.abc import Sequence
from dataclasses import dataclass

from inspectd_tools.experiments.aggregate import Over, over
from inspectd_tools.experiments.records import Row


@dataclass(frozen=True, slots=True)
class Ranked:
    rank: int
    """Equal means have equal ranks."""
    variant: str
    accuracy: Over
    """Of the validation photos, over the seeds."""
    minus: Over | None
    """Its accuracy minus that of the first, seed by seed; None for the first, and if they have no seed in common."""


def rank(rows: Sequence[Row]) -> list[Ranked]:
    """The variants, best mean first; of equal means, the order of the rows. Rows of other metrics are not read."""
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        if (row.epoch, row.phase, row.metric) == (None, "validation", "accuracy"):
            found.setdefault(row.variant, {})[row.seed] = row.value
    means = {variant: over(list(of.values())) for variant, of in found.items()}
    order = sorted(found, key=lambda variant: -means[variant].mean)
    ranking: list[Ranked] = []
    for variant in order:
        better = sum(other.mean > means[variant].mean for other in means.values())
        common = found[variant].keys() & found[order[0]].keys() if variant != order[0] else set()
        pairs = [found[variant][seed] - found[order[0]][seed] for seed in sorted(common)]
        ranking.append(Ranked(1 + better, variant, means[variant], over(pairs) if pairs else None))
    return ranking
