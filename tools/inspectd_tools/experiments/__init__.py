"""Experiments: many trainings that answer one question. A file says what varies; plan, run, evaluate and draw it."""
