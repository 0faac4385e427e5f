"""Generative adversarial networks for tens of photos per class."""
