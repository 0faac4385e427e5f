"""Generative adversarial networks made for tens of photos a class."""
