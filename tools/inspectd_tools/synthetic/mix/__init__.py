"""Data manifests of real and synthetic photos."""
