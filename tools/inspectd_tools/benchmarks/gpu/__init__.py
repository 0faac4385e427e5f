"""One run on a machine with a GPU: what can only be known there, in steps of their own, in minutes and without a network."""
