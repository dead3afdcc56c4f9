"""Finds the model that is in use, the baseline of the gates."""
