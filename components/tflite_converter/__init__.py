"""Turns a trained model into the bundle that ships, model.tflite in it."""
