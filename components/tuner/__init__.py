"""Tuning: which values of some fields train the best model, judged on eval."""
