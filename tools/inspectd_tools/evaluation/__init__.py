"""Evaluate a trained model on labelled photos: open it, judge every photo, count, draw and time."""
