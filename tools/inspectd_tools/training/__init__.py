"""Train a classifier: settings and photos in, a run folder out."""
