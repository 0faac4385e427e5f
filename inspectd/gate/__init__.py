"""The gate: it owns the reject output and fires each pulse at its due time. Nothing else runs in its process."""

from inspectd.gate.config import GateConfig
from inspectd.gate.link import GateLink

__all__ = ["GateConfig", "GateLink"]
