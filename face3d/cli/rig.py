"""`face3d rig`."""

from pathlib import Path
from typing import Annotated

import typer

from face3d.cli.talk import StageLines, one_sentence_errors


def rig(
    mesh: Annotated[Path, typer.Argument(help="A head mesh: .obj, .ply, .glb, .stl.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .glb to write.", show_default=False)],
) -> None:
    """Give a head mesh of your own the 52 ARKit shapes, eyes, joints and skinning weights."""
    with one_sentence_errors(ValueError):
        from face3d.rig import require_glb

        require_glb(output)
        with StageLines() as stages:
            stages("loading", 0.0)
            from face3d.rig import rig as rigged

            result = rigged(mesh, progress=stages)
            stages("saving", 0.0)
            output.parent.mkdir(parents=True, exist_ok=True)
            result.head.save(output)
        for warning in result.warnings:
            typer.echo(f"Warning: {warning}", err=True)
        typer.echo(f"Head: {output}")
        typer.echo(f"The default head came to within {result.distance_mm:.2f} mm of the mesh (median).")
