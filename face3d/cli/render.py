"""`face3d render`."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from face3d.cli.options import FrameRate, HeadFile, Motion, Orbit, Sound
from face3d.cli.talk import StageLines, one_sentence_errors

if TYPE_CHECKING:
    import numpy as np

TRANSPARENT = "transparent"


def render(
    head: HeadFile,
    motion: Motion,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help=".mp4, .webm, or a folder for PNG pictures.", show_default=False),
    ],
    sound: Sound = None,
    size: Annotated[str, typer.Option(help="Pixels: a side, or WIDTHxHEIGHT.")] = "512",
    rate: FrameRate = None,
    yaw: Annotated[float, typer.Option(help="Camera, degrees from the front to the person's left.")] = 0.0,
    orbit: Orbit = 0.0,
    light: Annotated[float, typer.Option(help="Main light, degrees from the front to the person's left.")] = 24.0,
    background: Annotated[str, typer.Option(help="A colour's name, #rrggbb, or transparent.")] = "#333333",
) -> None:
    """Render a head that plays a performance to a video, with sound."""
    with one_sentence_errors(ValueError), StageLines() as stages:
        stages("loading", 0.0)
        from avatars.media import write_video
        from avatars.mesh_performer import View, frames
        from avatars.painting import studio_lights
        from morphable import Head, Performance
        from morphable.editing import frame_times, video_rate

        performance = Performance.load(motion)
        chosen = rate or video_rate(performance)
        count = len(frame_times(performance, chosen))
        view = View(math.radians(yaw), math.radians(orbit), _size(size))
        lights, behind = studio_lights(yaw=math.radians(light)), _colour(background)
        pictures = frames(Head.load(head), performance, chosen, view, lights=lights, background=behind)
        counted = stages.drawing(pictures, count)
        if output.suffix:
            output.parent.mkdir(parents=True, exist_ok=True)
            write_video(output, counted, chosen, sound)
        else:
            _write_folder(output, counted, sound)
    typer.echo(f"{'Video' if output.suffix else 'Pictures'}: {output} ({count} frames, {count / chosen:.1f} s)")


def _write_folder(folder: Path, pictures: "Iterator[np.ndarray]", sound: Path | None) -> None:
    from avatars.media import write_pictures
    from face3d.errors import Face3DError
    from face3d.output import atomic_directory

    if sound is not None:
        raise Face3DError("Pictures have no sound; leave --sound out, or write a .mp4 or .webm.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Face3DError(f"{folder} is there already and not an empty folder; choose another.")
    with atomic_directory(folder) as fresh:
        write_pictures(fresh, pictures)


def _size(text: str) -> tuple[int, int]:
    """(height, width)."""
    from face3d.errors import Face3DError

    width, _, height = text.lower().partition("x")
    try:
        return int(height or width), int(width)
    except ValueError as error:
        raise Face3DError(f"A size is a number of pixels, or two as in 1280x720, not {text!r}.") from error


def _colour(text: str) -> "np.ndarray | None":
    """Linear."""
    import numpy as np
    import torch
    from PIL import ImageColor

    from face3d.errors import Face3DError
    from renderers import srgb_to_linear

    if text == TRANSPARENT:
        return None
    try:
        encoded = ImageColor.getrgb(text)[:3]
    except ValueError as error:
        raise Face3DError(f"{text!r} is no colour: give a name, #rrggbb, or {TRANSPARENT}.") from error
    return np.asarray(srgb_to_linear(torch.tensor(encoded) / 255))
