"""`inspectd repository`: engines for many lines, in one signed folder that any web server can serve."""
