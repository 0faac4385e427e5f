"""Where a classifier looks: attribution maps, and checks of which maps can be trusted."""
