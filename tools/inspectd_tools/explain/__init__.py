"""Where a classifier looks: attribution maps, and the checks that say which of them to believe."""
