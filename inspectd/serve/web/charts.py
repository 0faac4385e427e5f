"""Charts as SVG. They use classes of the style sheet only, so that they are right in light, dark and on paper."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from inspectd.serve.web.wording import percent


@dataclass(frozen=True, slots=True)
class Limits:
    """Centre and control limits of one point of a p-chart, as shares."""

    centre: float
    low: float
    high: float


def p_limits(share: float, n: int) -> Limits:
    """share +- 3 sqrt(share (1 - share) / n), cut to [0, 1]: Montgomery, Introduction to Statistical Quality Control, 7.2."""
    reach = 3 * math.sqrt(share * (1 - share) / n)
    return Limits(share, max(0.0, share - reach), min(1.0, share + reach))


def sparkline(values: Sequence[float], label: str, width: int = 240, height: int = 44) -> Markup:
    """A line without axes. `label` says in words what it shows."""
    top = max(*values, 1)
    step = width / max(1, len(values) - 1)
    points = " ".join(
        f"{number * step:.1f},{height - 2 - value / top * (height - 4):.1f}" for number, value in enumerate(values)
    )
    return _svg(width, height, label, Markup('<polyline class="chart-line" points="{}"/>').format(points), "sparkline")


def p_chart(groups: Sequence[tuple[int, int]], label: str, width: int = 480, height: int = 120) -> Markup:
    """Share of rejects per group with its control limits. `groups`: (parts, rejected), in order of time.

    A point outside its limits is a cross in the colour of a fault; a group without parts is a gap.
    """
    parts, rejected = (sum(column) for column in zip(*groups, strict=True)) if groups else (0, 0)
    if not parts:
        return _svg(width, height, f"{label}: no parts yet", Markup(""), "p-chart")
    centre = rejected / parts
    known = [(number, bad / n, p_limits(centre, n)) for number, (n, bad) in enumerate(groups) if n]
    top = max(max(share, limits.high if limits.high < 1 else share) for _, share, limits in known) * 1.1 or 0.01
    top = min(1.0, top)
    left, bottom = 56, 6
    step = (width - left - 8) / max(1, len(groups))

    def x(number: float) -> float:
        return left + (number + 0.5) * step

    def y(share: float) -> float:
        return height - bottom - min(share, top) / top * (height - bottom - 8)

    drawn = [
        Markup('<line class="chart-centre" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(
            left, width, y(centre), y(centre)
        )
    ]
    for share in (0.0, top):
        text = Markup('<text class="chart-text" x="{}" y="{:.1f}">{}</text>')
        drawn.append(text.format(left - 6, y(share) + (0 if share == 0 else 10), percent(share)))
    for number, _, limits in known:
        for edge in (limits.low, limits.high):
            if 0 < edge < top:
                line = Markup('<line class="chart-limit" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>')
                drawn.append(line.format(x(number - 0.5), x(number + 0.5), y(edge), y(edge)))
    points = " ".join(f"{x(number):.1f},{y(share):.1f}" for number, share, _ in known)
    drawn.append(Markup('<polyline class="chart-line" points="{}"/>').format(points))
    drawn += [_point(x(number), y(share), limits.low <= share <= limits.high) for number, share, limits in known]
    outside = sum(not limits.low <= share <= limits.high for _, share, limits in known)
    words = f"{label}: {percent(centre)} on average, {outside} of {len(known)} points outside the control limits"
    return _svg(width, height, words, Markup("").join(drawn), "p-chart")


def bar(share: float) -> Markup:
    """A horizontal bar, `share` of its full length. It only repeats a figure that stands beside it."""
    return Markup(
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect width="{:.1f}" height="10"/></svg>'
    ).format(100 * share)


def _point(x: float, y: float, is_inside: bool) -> Markup:
    if is_inside:
        return Markup('<circle class="chart-point" cx="{:.1f}" cy="{:.1f}" r="2.5"/>').format(x, y)
    cross = "M{:.1f} {:.1f}l10 10m0 -10l-10 10"
    return Markup('<path class="chart-outside" d="{}"/>').format(cross.format(x - 5, y - 5))


def _svg(width: int, height: int, label: str, content: Markup, kind: str) -> Markup:
    return Markup('<svg class="chart {}" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        kind, width, height, escape(label), content
    )
