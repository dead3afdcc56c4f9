"""Encoders that turn the steps of a feature group into one vector.

Each is called with values [batch, length, width] and a mask [batch, length] and returns
[batch, output width]; a step whose mask is 0 never changes the result. They count in
float32, to which Keras casts other floats.
"""
