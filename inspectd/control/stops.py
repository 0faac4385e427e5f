"""The latched stops in words: why the belt stands, and what somebody has to do before it runs again."""

from collections.abc import Mapping
from typing import Literal

StopName = Literal["reject_not_driven", "reject_unconfirmed", "too_many_rejects", "too_many_parts"]

STOPS: Mapping[str, str] = {
    "reject_not_driven": "A label was not rejected for certain. Find this label, then acknowledge.",
    "reject_unconfirmed": "The plant did not confirm a reject. Find the label, look at the rejector, then acknowledge.",
    "too_many_rejects": "Look at the print head, then acknowledge.",
    "too_many_parts": "More labels came than the gate can handle. Look at the light barrier, then acknowledge.",
}
