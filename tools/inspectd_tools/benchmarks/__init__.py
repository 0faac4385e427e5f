"""Measurements of time, memory and cost: the daemon on rendered labels, runtimes, the training step, composing."""
