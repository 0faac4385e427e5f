"""For every test: how long an example takes is no property of the code, least of all on a machine that does other work."""

from hypothesis import settings

settings.register_profile("inspectd", deadline=None)
settings.load_profile("inspectd")
