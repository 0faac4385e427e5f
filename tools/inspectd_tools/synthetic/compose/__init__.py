"""Synthetic photos made from real ones: prints and faults are lifted from some photos and put onto others."""
