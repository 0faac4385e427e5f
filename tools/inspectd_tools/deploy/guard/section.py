"""The section of the card on small faults."""

from collections.abc import Sequence

from inspectd.guard.model import Guard
from inspectd_tools.deploy.card.card import SMALL_FAULTS
from inspectd_tools.deploy.card.markdown import table
from inspectd_tools.deploy.guard.detection import Found
from inspectd_tools.deploy.guard.fitting import Fitted
from inspectd_tools.deploy.guard.photos import fingerprint
from inspectd_tools.metrics.rates import Rate


def section(fitted: Fitted, found: Sequence[Found]) -> str:
    """Markdown that begins with its heading."""
    photos, (p50, p99) = fitted.photos, fitted.judge_ms
    largest = ", ".join(
        f"{name} {value:.2f}" for name, value in zip(fitted.guard.kinds, fitted.limits.largest, strict=True)
    )
    good, *faults = found
    return "\n".join(
        [
            SMALL_FAULTS,
            "",
            "A guard looks at every place of a label that the network would let pass, and compares it with good labels. A label "
            "that is beyond one of its limits is uncertain, with the reason `anomaly`. So the guard can only reject more labels; "
            "the guarantee above stays true.",
            "",
            f"- Fitted to {len(photos.train)} good photos (fingerprint {fingerprint(photos.train)[:16]}) in {fitted.fit_s:.0f} s. "
            + _looks(fitted.guard),
            f"- Limits (about 1 is usual for a good label): {largest}. They were chosen with {fitted.chosen.n} other good photos, of "
            f"which at most {fitted.asked:.2%} may be rejected; {fitted.chosen.errors} are.",
            f"- On {fitted.tested.n} test photos that were used for no choice (fingerprint {fingerprint(photos.test)[:16]}), the guard "
            f"rejects {fitted.tested}.",
            f"- It takes {p50:.1f} ms per label (p99 {p99:.1f} ms), on the machine that fitted it.",
            "",
            f'Faults of known size were put into {good.either.n} of these test photos. "Rejected": by the network or the guard.',
            *table(
                ("fault", "photos", "network alone", "guard alone", "rejected", "95 % interval"),
                [_row(str(one.fault), one) for one in faults] + [_row("none: good labels", good)],
            ),
            "The faults are drawn, not photographed, and their places are random: in a place that differs from label to label, such "
            "as a date, a small fault is harder to see. The guard does not read: a wrong but clean character can pass. It does not "
            "see what is the same on good labels and on bad ones.",
            "",
        ]
    )


def _looks(guard: Guard) -> str:
    looks = []
    if guard.size is not None:
        width, height = guard.size
        looks.append(
            f"It compares places with the same places of good photos. The line's images must have {width}x{height} px."
        )
    if guard.surface is not None:
        looks.append(
            "A small network looks for what resembles drawn faults, wherever it is. It works on images of any size."
        )
    return " ".join(looks)


def summary(fitted: Fitted) -> str:
    """One sentence or two for the terminal."""
    expected = (fitted.chosen.errors + 1) / (fitted.chosen.n + 1)
    return (
        f"guard fitted to {len(fitted.photos.train)} good photos in {fitted.fit_s:.0f} s. On {fitted.tested.n} test photos it "
        f"rejects {fitted.tested}; with {fitted.chosen.n} photos for the limits, {expected:.1%} is to be expected. The card's "
        'section "Small faults" says which faults it finds.'
    )


def _row(name: str, found: Found) -> tuple[str, ...]:
    low, high = found.either.interval
    return (
        name,
        str(found.either.n),
        _percent(found.network),
        _percent(found.guard),
        _percent(found.either),
        f"{low:.1%} to {high:.1%}" if found.either.n else "",
    )


def _percent(rate: Rate) -> str:
    return f"{rate.share:.1%}" if rate.n else "none tried"
