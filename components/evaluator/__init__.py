"""The gates: no model is pushed that is not good enough."""
