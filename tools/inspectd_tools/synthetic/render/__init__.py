"""Draw filters with printed labels, whose truth is known."""
