"""The values that were given for one field, and from which label on each one counts."""

from bisect import insort
from dataclasses import dataclass

from inspectd.part import Part

MOST_WAITING = 1000
"""So many values may wait for their first label."""


@dataclass(frozen=True, slots=True)
class Order:
    """A value that counts from a part on, or from a monotonic time on, until the next one begins."""

    value: str | None
    """None: nothing is expected, so nothing passes."""
    by: str
    """Who gave it."""
    part: int | None
    t_ns: int | None
    """One of both is set."""
    begin: str
    """The same in words."""

    @property
    def source(self) -> str:
        return f"given by {self.by} from {self.begin}"


class Plan:
    """Ask in the order of the parts. A copy may be asked about a later part."""

    def __init__(self) -> None:
        self.now: Order | None = None
        """The one that began last."""
        self.before: Order | None = None
        """The one that `now` has replaced."""
        self.began_ns = 0
        """When `now` began."""
        self._by_part: tuple[Order, ...] = ()
        self._by_time: tuple[Order, ...] = ()

    @property
    def waiting(self) -> tuple[Order, ...]:
        return (*self._by_part, *self._by_time)

    def add(self, order: Order) -> None:
        """Of several orders that begin with the same label, the one that was given last counts."""
        by_part, by_time = [*self._by_part], [*self._by_time]
        if order.part is not None:
            insort(by_part, order, key=lambda each: each.part or 0)
        else:
            insort(by_time, order, key=lambda each: each.t_ns or 0)
        self._by_part, self._by_time = tuple(by_part), tuple(by_time)

    def reach(self, part: Part) -> None:
        """Begin what begins at or before this part."""
        parts = next((n for n, each in enumerate(self._by_part) if (each.part or 0) > part.id), len(self._by_part))
        times = next(
            (n for n, each in enumerate(self._by_time) if (each.t_ns or 0) > part.t_trigger_ns), len(self._by_time)
        )
        if not parts and not times:
            return
        begun = sorted(
            (*self._by_part[:parts], *self._by_time[:times]),
            key=lambda each: part.id if each.part is None else each.part,
        )
        self._by_part, self._by_time = self._by_part[parts:], self._by_time[times:]
        self.before = begun[-2] if len(begun) > 1 else self.now
        self.now = begun[-1]
        self.began_ns = part.t_trigger_ns if self.now.t_ns is None else self.now.t_ns
