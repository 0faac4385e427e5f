"""Data sets as manifests: the class and the split of each photo, and which photos belong together."""
