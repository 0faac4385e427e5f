"""The section of the card on small faults."""

from inspectd.guard.model import Guard
from inspectd_tools.deploy.card.card import SMALL_FAULTS
from inspectd_tools.deploy.card.markdown import literal, table
from inspectd_tools.deploy.guard.fitting import Fitted
from inspectd_tools.deploy.guard.photos import GoodPhotos, fingerprint, too_few
from inspectd_tools.detectability import report
from inspectd_tools.detectability.trial import Detectability


def section(fitted: Fitted, found: Detectability | str, *, joint: bool) -> str:
    """Markdown that begins with its heading. It shows the picture that `report.write_picture` writes beside the card.

    `joint`: the thresholds were chosen for network and guard together.
    """
    photos, (p50, p99) = fitted.photos, fitted.judge_ms
    largest = ", ".join(
        f"{name} {value:.2f}" for name, value in zip(fitted.guard.kinds, fitted.limits.largest, strict=True)
    )
    return "\n".join(
        [
            SMALL_FAULTS,
            "",
            "A guard looks at every place of a label that the network would let pass, and compares it with good labels. A label "
            "that is beyond one of its limits is uncertain, with the reason `anomaly`. "
            + (
                "The guarantee above counts what passes both network and guard."
                if joint
                else "So the guard can only reject more labels; the guarantee above stays true."
            ),
            "",
            *(["**" + few + "**", ""] if (few := too_few(photos)) else []),
            f"- Fitted to {len(photos.train)} good photos (fingerprint {fingerprint(photos.train)[:16]}) in {fitted.fit_s:.0f} s. "
            + _looks(fitted.guard),
            f"- Limits (about 1 is usual for a good label): {largest}. They were chosen with {_for_limits(photos)}, of "
            f"which at most {fitted.asked:.2%} may be rejected; {fitted.chosen.errors} are.",
            f"- On {fitted.tested.n} test photos that were used for no choice (fingerprint {fingerprint(photos.test)[:16]}), the guard "
            f"rejects {fitted.tested}.",
            f"- It takes {p50:.1f} ms per label (p99 {p99:.1f} ms), on the machine that fitted it.",
            "",
            *_small_faults(found),
            "The faults are drawn, not photographed, and their places are random: in a place that differs from label to label, such "
            "as a date, a small fault is harder to see. The guard does not read: a wrong but clean character can pass. It does not "
            "see what is the same on good labels and on bad ones.",
            "",
        ]
    )


def _for_limits(photos: GoodPhotos) -> str:
    if photos.fold:
        return (
            f"the same photos, each judged by a guard that was fitted without its part ({max(photos.fold) + 1} folds)"
        )
    return f"{len(photos.val)} other good photos"


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


def _small_faults(found: Detectability | str) -> list[str]:
    if isinstance(found, str):
        return [f"Small faults were not tried: {literal(found)}.", ""]
    return [
        f"Faults of many sizes were put into {found.tried_photos} of these test photos, each kind once per photo, and network and "
        "guard judged them as on the line. The table says from which size on which share is found:",
        *table(report.HEADER, report.rows(found)),
        f"![Share of small faults that are found, over their size]({report.PICTURE})",
        "",
        *(f"- {note}" for note in report.notes(found)),
        "",
    ]


def summary(fitted: Fitted) -> str:
    """One sentence or two for the terminal."""
    expected = (fitted.chosen.errors + 1) / (fitted.chosen.n + 1)
    return (
        f"guard fitted to {len(fitted.photos.train)} good photos in {fitted.fit_s:.0f} s. On {fitted.tested.n} test photos it "
        f"rejects {fitted.tested}; with {fitted.chosen.n} photos for the limits, {expected:.1%} is to be expected. The card's "
        'section "Small faults" says which faults it finds.'
    )
