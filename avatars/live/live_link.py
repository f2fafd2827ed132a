"""Live Link Face's datagrams, as Unreal's Apple ARKit plug-in reads them.

Big-endian: version (u8), device id (u32 length, text), subject name (u32 length, text), frame number (u32), part of a
frame (f32), frames a second (u32 numerator, u32 denominator), count (u8), the 61 values (f32) of
`morphable.live_link.COLUMNS`.
"""

from __future__ import annotations

import struct
import uuid

import numpy as np

from morphable import Performance
from morphable.live_link import COLUMNS, ORDER, to_angles

VERSION = 6
RATE = 60
"""Frames a second that the frame number counts."""
DAY = 24 * 3600


def encode(moment: Performance, subject: str = "face3d", device: str | None = None) -> list[bytes]:
    """The datagram of a performance's first frame; its time, seconds, becomes the frame number.

    Args:
        subject: the name under which the engine lists the face.
        device: what tells senders apart, a UUID; made from the subject if not given.
    """
    name, known = subject.encode(), (device or str(uuid.uuid5(uuid.NAMESPACE_DNS, subject)).upper()).encode()
    frame, part = divmod(float(moment.times[0]) % DAY * RATE, 1)
    angles = to_angles(np.concatenate([moment.head[:1], moment.gaze[0]])).ravel()
    values = np.concatenate([moment.weights[0, ORDER], angles])
    header = struct.pack(">BI", VERSION, len(known)) + known + struct.pack(">I", len(name)) + name
    timing = struct.pack(">IfII", int(frame), part, RATE, 1)
    return [header + timing + struct.pack(f">B{len(COLUMNS)}f", len(COLUMNS), *values)]
