"""For every test: how long an example takes is no property of the code, least of all on a machine that does other work."""

from hypothesis import Phase, settings

settings.register_profile("inspectd", deadline=None)
# the same examples for every mutant, and no search for a smaller one
settings.register_profile(
    "mutants", deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate]
)
settings.load_profile("inspectd")
