"""What an engine passes and what it rejects at its threshold."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Group
from rich.table import Table

from inspectd.binomial import interval
from inspectd.learning.rates import CONFIDENCE, Rate
from inspectd.part import INSPECTED, Pass
from inspectd_tools.evaluation.predictions import Judgement


def verdict_figures(judgements: Sequence[Judgement], pass_class: str) -> dict[str, Any]:
    """Verdicts per truth, and the false accept and false reject rates with their 95 % intervals (Clopper-Pearson).

    A false accept is a faulty or unknown photo that passes. A false reject is a good photo that does not pass.
    """
    by_truth = {
        truth: Counter(photo.verdict for photo in judgements if photo.truth == truth)
        for truth in dict.fromkeys(photo.truth for photo in judgements)
    }
    good = [photo for photo in judgements if photo.truth == pass_class]
    faulty = [photo for photo in judgements if not photo.is_unknown and photo.truth != pass_class]
    unknown = [photo for photo in judgements if photo.is_unknown]
    return {
        "by_truth": {
            truth: {**{verdict: counts[verdict] for verdict in INSPECTED}, "n": counts.total()}
            for truth, counts in by_truth.items()
        },
        "false_accepts": {
            "faulty": _rate(sum(photo.verdict == Pass.word for photo in faulty), len(faulty)),
            "unknown": _rate(sum(photo.verdict == Pass.word for photo in unknown), len(unknown)),
        },
        "false_rejects": _rate(sum(photo.verdict != Pass.word for photo in good), len(good)),
    }


def verdict_tables(figures: dict[str, Any]) -> Group:
    """Tables for the terminal; `figures` also holds the `threshold`."""
    verdicts = Table(
        "truth", *INSPECTED, "passed, 95 % interval", title=f"verdicts at threshold {figures['threshold']:.4f}"
    )
    for truth, counts in figures["by_truth"].items():
        low, high = interval(counts[Pass.word], counts["n"], CONFIDENCE)
        verdicts.add_row(truth, *(str(counts[verdict]) for verdict in INSPECTED), f"{low:.2%} to {high:.2%}")
    rates = Table("rate", "value, two-sided 95 % interval")
    named = {f"false accepts: {kind} passed": rate for kind, rate in figures["false_accepts"].items()}
    for name, rate in (named | {"false rejects: good not passed": figures["false_rejects"]}).items():
        rates.add_row(name, str(Rate(rate["errors"], rate["n"])) if rate["n"] else "no such photo")
    return Group(verdicts, rates)


def _rate(errors: int, n: int) -> dict[str, Any]:
    share = errors / n if n else None
    return {"errors": errors, "n": n, "share": share, "interval_95": interval(errors, n, CONFIDENCE)}
