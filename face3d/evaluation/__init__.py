"""How far reconstructions are from scans: the NoW protocol, and errors by region."""

from face3d.evaluation.errors import REGIONS, Errors, face_errors
from face3d.evaluation.evaluation import Evaluation, evaluate
from face3d.evaluation.faces import Face, read_face

__all__ = ["REGIONS", "Errors", "Evaluation", "Face", "evaluate", "face_errors", "read_face"]
