"""Serial numbers: which one the next label must bear."""

from inspectd.part import Part
from inspectd.text.pattern import DIGITS, Pattern
from inspectd.text.plan import Order


class Count:
    """One number per label, from the order that began it. Rejected labels have used a number, too."""

    def __init__(self, form: Pattern, may_differ_by: int) -> None:
        self._form = form
        self._may_differ_by = may_differ_by
        digits = next((n for n, place in enumerate(reversed(form.places)) if not place <= DIGITS), len(form.places))
        self._head = len(form.places) - digits
        self._begun_by: Order | None = None
        self._prefix = ""
        self._part = self._number = self._least = 0
        """The last label whose number is known, that number, and the least one that may come next."""

    def begin(self, order: Order) -> None:
        """Nothing happens if this order has begun before."""
        if order is self._begun_by or order.value is None or order.part is None:
            return
        self._begun_by = order
        self._prefix = order.value[: self._head]
        self._part, self._number = order.part, int(order.value[self._head :])
        self._least = self._number

    def texts(self, part: Part) -> tuple[str, ...]:
        """The most probable one first. Empty if the digits do not suffice."""
        likely = self._number + part.id - self._part
        near = sorted(
            range(max(self._least, likely - self._may_differ_by), likely + self._may_differ_by + 1),
            key=lambda number: abs(number - likely),
        )
        width = len(self._form.places) - self._head
        texts = (f"{self._prefix}{number:0{width}}" for number in near)
        return tuple(text for text in texts if self._form.matches(text))

    def passed(self, part: Part, text: str) -> None:
        if text in self.texts(part):
            self._part, self._number = part.id, int(text[self._head :])
            self._least = self._number + 1
