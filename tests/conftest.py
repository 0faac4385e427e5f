"""For every test: one thread for a network, and no limit to how long an example may take."""

import os

from hypothesis import Phase, settings

# the threads of PyTorch share each small step of a small network, and wait for each other as soon as the machine has other work
os.environ.setdefault("OMP_NUM_THREADS", "1")

# how long an example takes is no property of the code, least of all on a machine that does other work
settings.register_profile("inspectd", deadline=None)
# the same examples for every mutant, and no search for a smaller one
settings.register_profile(
    "mutants", deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate]
)
settings.load_profile("inspectd")
