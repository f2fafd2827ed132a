"""`face3d motion`."""

from pathlib import Path
from typing import Annotated

import typer

from face3d.cli.options import Motion, OutputFile
from face3d.cli.talk import one_sentence_errors


def motion(
    performance: Motion,
    output: OutputFile,
    start: Annotated[float, typer.Option("--from", min=0, help="Second to start at, which becomes 0.")] = 0.0,
    stop: Annotated[
        float | None, typer.Option("--to", min=0, help="Second to end at; else the end.", show_default=False)
    ] = None,
    speed: Annotated[float, typer.Option(help="Times as fast.")] = 1.0,
    mirror: Annotated[bool, typer.Option("--mirror", help="Swap left and right.")] = False,
    smooth: Annotated[
        float | None, typer.Option(help="Milliseconds of a Gaussian's deviation.", show_default=False)
    ] = None,
    rate: Annotated[float | None, typer.Option(min=1, max=1000, help="Frames a second.", show_default=False)] = None,
    add: Annotated[
        Path | None, typer.Option(help="Another performance that is added on top.", show_default=False)
    ] = None,
) -> None:
    """Convert a performance between .csv (Live Link Face), .json and .npz; cut, speed up, mirror, smooth, layer it."""
    with one_sentence_errors(ValueError):
        from morphable import Performance
        from morphable.editing import faster, layered, mirrored, resampled, smoothed, trimmed

        clip = Performance.load(performance)
        if start > 0 or stop is not None:
            clip = trimmed(clip, start, float("inf") if stop is None else stop)
        if speed != 1:
            clip = faster(clip, speed)
        if mirror:
            clip = mirrored(clip)
        if smooth is not None:
            clip = smoothed(clip, smooth / 1000)
        if rate is not None:
            clip = resampled(clip, rate)
        if add is not None:
            clip = layered(clip, Performance.load(add))
        output.parent.mkdir(parents=True, exist_ok=True)
        clip.save(output)
    typer.echo(f"Motion: {output} ({len(clip)} frames, {clip.duration:.1f} s)")
