"""The actuator: which pulses are wanted from it, and what is known about it. Time is passed in; nothing is driven here.

A pulse begins when the device has acknowledged it, or at its label's due time if the actuator is on already. It lasts
`width_ms` from then. It counts once the actuator reads back as on after VERIFIED_SHARE of its width.
"""

from dataclasses import dataclass

from inspectd.gate.outcome import Outcome

VERIFIED_SHARE = 0.5
"""A pulse must have been on for this share of its width, by the device's own word. A shorter pulse does not count."""


@dataclass(slots=True)
class Pulse:
    """The pulse for one label."""

    part: int
    due_ns: int
    if_driven: Outcome
    """What becomes of the label once the pulse is verified."""
    began_ns: int | None = None
    is_settled: bool = False
    """It is known what became of the label. The pulse still lasts its width."""

    @property
    def lateness_ns(self) -> int:
        return 0 if self.began_ns is None else self.began_ns - self.due_ns


class Actuator:
    """At the start it is off and read back: opening an output guarantees that."""

    def __init__(self, width_ns: int) -> None:
        self.is_acknowledged_off = True
        """The device has acknowledged `off`, and nothing has been commanded since."""
        self.is_read_off = True
        """The device has acknowledged `off`, and it reads back as off."""
        self.read_off_ns = 0
        """When it last read back as off."""
        self._off_since_ns = 0
        """When `off` was acknowledged, if nothing has been commanded since."""
        self._in_doubt = False
        """When the device failed, a command to switch on was on its way. It may still arrive."""
        self._width_ns = width_ns
        self._verify_ns = round(VERIFIED_SHARE * width_ns)
        self._on_since_ns: int | None = None
        self._pulses: list[Pulse] = []

    def owe(self, pulse: Pulse) -> None:
        """A label needs a pulse from its due time on. If the actuator is on already, the pulse has begun."""
        if self._on_since_ns is not None:
            pulse.began_ns = max(pulse.due_ns, self._on_since_ns)
        self._pulses.append(pulse)

    def wants_on(self, now_ns: int) -> bool:
        """Whether any pulse is left. Pulses that are over are forgotten; one that is not settled is never over."""
        self._pulses = [pulse for pulse in self._pulses if not self._is_over(pulse, now_ns)]
        return bool(self._pulses)

    def command(self, on: bool) -> None:
        """This level is about to be written. After `on` the actuator may be on, even if no answer comes."""
        if on:
            self.is_acknowledged_off = self.is_read_off = False

    def acknowledged(self, on: bool, now_ns: int) -> list[Pulse]:
        """The device has acknowledged the level. Returns the pulses that begin with it."""
        if not on:
            self._on_since_ns = None
            if not self.is_acknowledged_off:
                self.is_acknowledged_off, self._off_since_ns = True, now_ns
            return []
        if self._on_since_ns is None:
            self._on_since_ns = now_ns
        begun = [pulse for pulse in self._pulses if pulse.began_ns is None]
        for pulse in begun:
            pulse.began_ns = max(pulse.due_ns, now_ns)
        return begun

    def read(self, on: bool, now_ns: int) -> list[Pulse]:
        """The device says what its actuator is now. Returns the pulses that this verifies."""
        if not on:
            self.is_read_off = self.is_acknowledged_off and not self._in_doubt
            self.read_off_ns = now_ns
            return []
        self.is_read_off = self.is_acknowledged_off = False
        return [pulse for pulse in self._pulses if self._is_verifiable(pulse, now_ns)]

    def was_off(self, t_ns: int) -> bool:
        """Whether `off` was acknowledged before that time, and nothing has been commanded since. If the answer came later,
        the device may have been later too."""
        return self.is_acknowledged_off and self._off_since_ns <= t_ns

    def open_pulse(self, part: int) -> Pulse | None:
        """The label's pulse, if it is not settled."""
        return next((pulse for pulse in self._pulses if pulse.part == part and not pulse.is_settled), None)

    def drop(self, pulse: Pulse) -> None:
        """Forget this pulse."""
        self._pulses.remove(pulse)

    def wants_reading(self, now_ns: int) -> bool:
        """Whether a pulse waits to be verified."""
        return any(self._is_verifiable(pulse, now_ns) for pulse in self._pulses)

    def wants_proof_of_off(self) -> bool:
        """Whether `off` has been acknowledged, but not read back."""
        return self.is_acknowledged_off and not self.is_read_off and not self._in_doubt

    def cut(self) -> list[Pulse]:
        """End every pulse that has begun. Returns those that are not settled."""
        begun = [pulse for pulse in self._pulses if pulse.began_ns is not None]
        self._pulses = [pulse for pulse in self._pulses if pulse.began_ns is None]
        return [pulse for pulse in begun if not pulse.is_settled]

    def drop_waiting(self, before_ns: int) -> list[Pulse]:
        """Forget the pulses that have not begun although their label was due before `before_ns`. Returns them."""
        dropped = [pulse for pulse in self._pulses if pulse.began_ns is None and pulse.due_ns < before_ns]
        self._pulses = [pulse for pulse in self._pulses if pulse not in dropped]
        return dropped

    def failed(self) -> list[Pulse]:
        """The device can't be driven any more, and may still be as it was last commanded. Returns the pulses that are not settled."""
        unsettled = [pulse for pulse in self._pulses if not pulse.is_settled]
        self._pulses = []
        self._on_since_ns = None
        self._in_doubt |= not self.is_acknowledged_off
        return unsettled

    def works(self) -> None:
        """The device is driven again, and no old command can reach it any more."""
        self._in_doubt = False

    def next_ns(self) -> list[int]:
        """When pulses are to be verified, and when they end."""
        return [
            pulse.began_ns + (self._width_ns if pulse.is_settled else self._verify_ns)
            for pulse in self._pulses
            if pulse.began_ns is not None
        ]

    def _is_verifiable(self, pulse: Pulse, now_ns: int) -> bool:
        return not pulse.is_settled and pulse.began_ns is not None and now_ns >= pulse.began_ns + self._verify_ns

    def _is_over(self, pulse: Pulse, now_ns: int) -> bool:
        return pulse.is_settled and pulse.began_ns is not None and now_ns >= pulse.began_ns + self._width_ns
