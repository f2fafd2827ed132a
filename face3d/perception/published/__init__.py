"""Networks that others published, for whoever has their weights: a face in a photo to a morphable model's coefficients.

Their architectures are written anew here; nothing of their code or weights is shipped. A network belongs to the model
whose coefficients it gives, and lies beside it.
"""

from face3d.perception.published.collection import SUFFIXES, add, load, names
from face3d.perception.published.interface import Coefficients, PublishedNetwork

__all__ = ["SUFFIXES", "Coefficients", "PublishedNetwork", "add", "load", "names"]
