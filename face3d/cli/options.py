"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

HeadFile = Annotated[Path, typer.Argument(help="A head saved by face3d (.glb).", show_default=False)]
ModelName = Annotated[str, typer.Argument(help="A name from `face3d models list`.", show_default=False)]
Motion = Annotated[Path, typer.Argument(help="A performance: .csv .json .npz.", show_default=False)]
OutputFile = Annotated[
    Path, typer.Option("--output", "-o", help="File to write; its suffix says the format.", show_default=False)
]
OutputVideo = Annotated[Path, typer.Option("--output", "-o", help=".mp4 or .webm.", show_default=False)]
Sound = Annotated[
    Path | None, typer.Option(help="Sound that starts with the motion: any audio or video.", show_default=False)
]
FrameRate = Annotated[
    float | None, typer.Option(min=1, max=240, help="Frames a second; else the motion's.", show_default=False)
]
Orbit = Annotated[float, typer.Option(help="Degrees that the camera goes around the head.")]
WhichFace = Annotated[int, typer.Option(min=0, help="Which face, most prominent first.")]
WhomToFollow = Annotated[int, typer.Option(min=0, help="Whom to follow, most prominent first.")]
Landmarker = Annotated[Path | None, typer.Option(help="Your own MediaPipe face_landmarker.task.", show_default=False)]
