"""Data sets as manifests: which photo is of which class, in which split, and which photos belong together."""
