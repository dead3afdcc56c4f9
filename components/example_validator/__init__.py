"""Stops a run whose examples are not what the configuration expects."""
