"""Lossless compression of images by a trained model, and what other coders make of them."""

from jensen.evaluation.coding.ans import Stack
from jensen.evaluation.coding.bins import GaussianBins
from jensen.evaluation.coding.codec import BitsBack, Coded
from jensen.evaluation.coding.images import compress, decompress
from jensen.evaluation.coding.peers import PEERS, Peer, weigh_peer
from jensen.evaluation.coding.stream import Header, Stream, checksum

__all__ = [
    "PEERS",
    "BitsBack",
    "Coded",
    "GaussianBins",
    "Header",
    "Peer",
    "Stack",
    "Stream",
    "checksum",
    "compress",
    "decompress",
    "weigh_peer",
]
