"""Turns raw example columns into ids and numbers, with TensorFlow Transform."""
