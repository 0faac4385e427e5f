"""How close synthetic photos are to real ones, and whether they help."""
