"""Offline tools: synthetic data, training, engine building, measurements. The daemon never imports them."""
