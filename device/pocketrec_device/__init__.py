"""Recommends on the device, from a bundle, with NumPy and LiteRT alone."""

from pocketrec_device.bundle import Bundle, BundleError
from pocketrec_device.features import RequestError
from pocketrec_device.recommender import Recommendation, Recommender

__all__ = ["Bundle", "BundleError", "Recommendation", "Recommender", "RequestError"]
