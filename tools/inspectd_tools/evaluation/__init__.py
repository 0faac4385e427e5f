"""A trained model on labelled photos: open it, judge every photo, count, show and time."""
