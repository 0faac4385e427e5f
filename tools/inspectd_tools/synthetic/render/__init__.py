"""The renderer of printed filter labels."""
