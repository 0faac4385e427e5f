"""Which small faults the engine of a new bundle finds: they are put into test photos of good labels."""

from collections.abc import Sequence

from inspectd.errors import ConfigError
from inspectd.inference.engine import Engine
from inspectd_tools.deploy.guard.photos import Good
from inspectd_tools.detectability import trial
from inspectd_tools.detectability.photos import spread
from inspectd_tools.detectability.trial import Detectability

MOST_TRIED = 150
"""Photos that get one fault of each kind."""


def detection(engine: Engine, photos: Sequence[Good], seed: int) -> Detectability | str:
    """`engine`: with its guard, as the line loads it. Returns why small faults could not be tried, if they could not."""
    try:
        return trial.run(engine, spread([photo.path for photo in photos], MOST_TRIED), seed)
    except ConfigError as error:
        return str(error)
