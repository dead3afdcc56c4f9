"""Recommends on the device, from a bundle, with NumPy and LiteRT alone."""

from pocketrec_device.bundle import Bundle
from pocketrec_device.canary import Canary
from pocketrec_device.features import History, RequestError
from pocketrec_device.json_reader import BundleError
from pocketrec_device.live import LiveRecommender
from pocketrec_device.recommender import Recommendation, Recommender

__all__ = [
    "Bundle",
    "BundleError",
    "Canary",
    "History",
    "LiveRecommender",
    "Recommendation",
    "Recommender",
    "RequestError",
]
