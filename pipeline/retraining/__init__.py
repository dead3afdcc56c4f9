"""Retraining: one cycle, its guards, its traces, and the schedule of many."""
