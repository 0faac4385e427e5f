"""The values that were given for one field, and from which label on each one counts."""

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass
from itertools import accumulate
from operator import itemgetter

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

    def first(self, reached: Part) -> int:
        """Number of its first label. `reached`: the first label at which it was seen to have begun."""
        return reached.id if self.part is None else self.part


class Plan:
    """Ask in the order of the parts. A copy may be asked about a later part."""

    def __init__(self) -> None:
        self.now: Order | None = None
        """The one that began last."""
        self.before: Order | None = None
        """The one that `now` has replaced."""
        self.began_ns = 0
        """When `now` began."""
        self._noticed: Order | None = None
        self._noticed_ns = 0
        self._since_ns: dict[Order, int] = {}
        """Per waiting order that begins with a part: when it was noticed that this part is the next one, or has been triggered."""
        self._by_part: tuple[Order, ...] = ()
        self._by_time: tuple[Order, ...] = ()

    @property
    def waiting(self) -> tuple[Order, ...]:
        return (*self._by_part, *self._by_time)

    def is_replaced(self, order: Order) -> bool:
        """Whether a value counts already that began later than this one."""
        if self.now is None:
            return False
        if order.part is not None:
            return order.part < _part(self.now)
        return _t_ns(order) < self.began_ns

    def add(self, order: Order) -> None:
        """Of several orders that begin with the same label, the one that was given last counts."""
        by_part, by_time = [*self._by_part], [*self._by_time]
        if order.part is not None:
            insort(by_part, order, key=_part)
        else:
            insort(by_time, order, key=_t_ns)
        self._by_part, self._by_time = tuple(by_part), tuple(by_time)

    def notice(self, next_part_id: int, now_ns: int) -> None:
        """Labels before this one have been triggered: remember when, as none of them may be asked about."""
        come = self._by_part[: bisect_right(self._by_part, next_part_id, key=_part)]
        if len(come) != len(self._since_ns):
            self._since_ns = {order: self._since_ns.get(order, now_ns) for order in come}
        begun = bisect_left(self._by_part, next_part_id, key=_part)
        if begun and (last := self._by_part[begun - 1]) is not self._noticed:
            self._noticed, self._noticed_ns = last, now_ns

    def reach(self, part: Part) -> None:
        """Begin what begins at or before this part."""
        parts = bisect_right(self._by_part, part.id, key=_part)
        times = bisect_right(self._by_time, part.t_trigger_ns, key=_t_ns)
        if not parts and not times:
            return
        begun = self._in_turn(self._by_part[:parts], self._by_time[:times], part)
        self._by_part, self._by_time = self._by_part[parts:], self._by_time[times:]
        self._since_ns = {order: self._since_ns[order] for order in self._by_part if order in self._since_ns}
        last = begun[-1]
        replaced = [order for order in begun if order.first(part) < last.first(part)]  # the others never counted
        before = replaced[-1] if replaced else self.now
        is_withdrawn = any(order.value is None for order in begun[len(replaced) : -1])
        self.before, self.now = None if is_withdrawn else before, last
        if last.t_ns is not None:
            self.began_ns = last.t_ns
        elif last is self._noticed:
            self.began_ns = min(self._noticed_ns, part.t_trigger_ns)
        else:
            self.began_ns = part.t_trigger_ns

    def _in_turn(self, by_part: tuple[Order, ...], by_time: tuple[Order, ...], part: Part) -> list[Order]:
        """Orders that have begun, each before the next one or with it.

        Labels may have been asked about for none of them: the line stood, or the labels were rejected before. So one that
        begins with a part is compared with one that begins at a time by when its part became the next one.
        """
        since_ns = accumulate((self._since_ns.get(order, part.t_trigger_ns) for order in by_part), max)
        moments = [*zip(since_ns, by_part, strict=True), *((_t_ns(order), order) for order in by_time)]
        return [order for _, order in sorted(moments, key=itemgetter(0))]


def _part(order: Order) -> int:
    return order.part or 0


def _t_ns(order: Order) -> int:
    return order.t_ns or 0
