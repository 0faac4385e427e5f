"""The real daemon on rendered labels, measured."""
