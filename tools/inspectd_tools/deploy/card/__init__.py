"""An engine's card: what it is for, what it is worth, what is promised of it, where it looks and where it is blind."""
