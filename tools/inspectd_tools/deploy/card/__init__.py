"""The card of an engine: what it is for, its guarantee, its performance, where it looks and where it is blind."""
