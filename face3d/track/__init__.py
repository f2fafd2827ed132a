"""From a video of a person to the motion of a head.

>>> performance = track("clip.mp4")  # doctest: +SKIP
>>> performance.save("clip.csv")     # doctest: +SKIP
"""

from face3d.track.tracking import Tracked, run_tracking, track

__all__ = ["Tracked", "run_tracking", "track"]
