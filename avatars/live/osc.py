"""Open Sound Control 1.0 (opensoundcontrol.org), plain and as the VMC protocol (protocol.vmc.info).

Plain: a message `/face3d/<shape> weight` for each of ARKIT_NAMES, `/face3d/head x y z` and `/face3d/gaze/left x y z`,
`/face3d/gaze/right x y z` (axis-angle, radians), `/face3d/translation x y z` (metres), `/face3d/confidence c`, in our
frame: x to the person's left, y up, z forward.

VMC: `/VMC/Ext/Blend/Val` for each shape, `/VMC/Ext/Blend/Apply`, and the head's rotation as `/VMC/Ext/Bone/Pos`, in
Unity's frame, whose x points to the person's right.
"""

from __future__ import annotations

import struct

import roma
import torch

from morphable import ARKIT_NAMES, Performance

AT_ONCE = struct.pack(">Q", 1)
"""The time tag of bundles that are due when they come."""
IN_BUNDLE = 32
"""Messages in a datagram, so that it passes every network whole."""
UNITY = (1.0, -1.0, -1.0, 1.0)
"""Signs of a quaternion (x, y, z, w) in the mirror x → -x."""


def encode(moment: Performance) -> list[bytes]:
    """The datagrams of a performance's first frame, plain."""
    shapes = [
        message(f"/face3d/{name}", float(weight)) for name, weight in zip(ARKIT_NAMES, moment.weights[0], strict=True)
    ]
    vectors = {
        "head": moment.head[0],
        "translation": moment.translation[0],
        "gaze/left": moment.gaze[0, 0],
        "gaze/right": moment.gaze[0, 1],
        "confidence": moment.confidence[:1],
    }
    others = [message(f"/face3d/{name}", *map(float, values)) for name, values in vectors.items()]
    return _bundles([*shapes, *others])


def encode_vmc(moment: Performance) -> list[bytes]:
    """The datagrams of a performance's first frame, for VMC; shapes are named as in "Perfect Sync" (`JawOpen`)."""
    quaternion = roma.rotvec_to_unitquat(torch.as_tensor(moment.head[0], dtype=torch.float64)).numpy() * UNITY
    shapes = [
        message("/VMC/Ext/Blend/Val", name[0].upper() + name[1:], float(weight))
        for name, weight in zip(ARKIT_NAMES, moment.weights[0], strict=True)
    ]
    bone = message("/VMC/Ext/Bone/Pos", "Head", 0.0, 0.0, 0.0, *map(float, quaternion))
    return _bundles([message("/VMC/Ext/OK", 1), bone, *shapes, message("/VMC/Ext/Blend/Apply")])


def message(address: str, *values: float | int | str) -> bytes:
    """An OSC message. Whole numbers are sent as int32, others as float32."""
    tags = "".join("s" if isinstance(value, str) else "i" if isinstance(value, int) else "f" for value in values)
    packed = [
        _text(value) if isinstance(value, str) else struct.pack(">i" if isinstance(value, int) else ">f", value)
        for value in values
    ]
    return _text(address) + _text("," + tags) + b"".join(packed)


def _bundles(messages: list[bytes]) -> list[bytes]:
    parts = [messages[start : start + IN_BUNDLE] for start in range(0, len(messages), IN_BUNDLE)]
    sized = [b"".join(struct.pack(">i", len(each)) + each for each in part) for part in parts]
    return [b"#bundle\0" + AT_ONCE + part for part in sized]


def _text(text: str) -> bytes:
    """Ended by a zero and filled to a multiple of four bytes."""
    encoded = text.encode() + b"\0"
    return encoded + b"\0" * (-len(encoded) % 4)
