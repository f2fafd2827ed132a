"""What a pixel can show."""

CLASSES = (
    "background",
    "skin",
    "brow_left",
    "brow_right",
    "eye_left",
    "eye_right",
    "nose",
    "lip_upper",
    "lip_lower",
    "mouth",
    "ear_left",
    "ear_right",
    "neck",
    "hair",
    "beard",
    "glasses",
    "hat",
    "earring",
    "cloth",
    "occluder",
)
"""Left and right are the person's own. An eye is what shows between the lids; the mouth is what shows between the lips;
lenses are of the class that shows through, unless they are dark."""
INDEX = {name: index for index, name in enumerate(CLASSES)}
MIRRORED = tuple(
    INDEX[name.replace("left", "right") if "left" in name else name.replace("right", "left")] for name in CLASSES
)
"""The class that each becomes in a mirrored picture."""
COVERING = tuple(INDEX[name] for name in ("hair", "glasses", "hat", "earring", "cloth", "occluder"))
"""Classes of what lies before a face."""
COLOURS = (
    (0, 0, 0),
    (232, 190, 172),
    (70, 130, 40),
    (110, 180, 60),
    (40, 120, 220),
    (90, 170, 250),
    (250, 220, 120),
    (220, 60, 80),
    (250, 110, 140),
    (130, 20, 40),
    (200, 140, 240),
    (150, 90, 200),
    (190, 150, 120),
    (110, 70, 40),
    (60, 35, 20),
    (40, 220, 210),
    (250, 130, 20),
    (250, 250, 60),
    (120, 120, 150),
    (255, 0, 255),
)
"""sRGB, to show classes in pictures."""
