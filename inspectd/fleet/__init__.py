"""Engines for many lines from one place: a signed repository on a web server, and what a line fetches from it.

The repository is one of The Update Framework (TUF, https://theupdateframework.io). Nobody has to trust the web server.
"""
