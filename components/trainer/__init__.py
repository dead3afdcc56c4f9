"""The two-tower model: its layers, its training and its exported forms."""
