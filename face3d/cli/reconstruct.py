"""`face3d reconstruct`."""

from pathlib import Path
from typing import Annotated

import typer

from face3d.cli.talk import StageLines, one_sentence_errors


def reconstruct(
    photo: Annotated[Path, typer.Argument(help="A photo with a face.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.", show_default=False)],
    face: Annotated[int, typer.Option(min=0, help="Which face, most prominent first.")] = 0,
    texture_size: Annotated[int, typer.Option(min=64, max=8192, help="Pixels a side of the texture.")] = 2048,
    landmarker: Annotated[
        Path | None, typer.Option(help="Your own MediaPipe face_landmarker.task.", show_default=False)
    ] = None,
) -> None:
    """Reconstruct a head from a photo: head.glb, preview.png, fit.png, albedo.png, report.json."""
    with one_sentence_errors():
        from face3d.output import require_writable_directory

        require_writable_directory(output)
        with StageLines() as stages:
            stages("reading the photo", 0.0)
            from face3d.photo import load_photo

            picture = load_photo(photo)
            stages("loading", 0.0)
            from face3d.perception import MediaPipeDetector
            from face3d.reconstruction import run_reconstruction

            with MediaPipeDetector(landmarker) as detector:
                result = run_reconstruction(
                    picture, face=face, texture_size=texture_size, detector=detector, progress=stages
                )
            stages("saving", 0.0)
            result.save(output)
        for warning in result.report.get("warnings", []):
            typer.echo(f"Warning: {warning}", err=True)
        typer.echo(f"Head:    {output / 'head.glb'}")
        typer.echo(f"Preview: {output / 'preview.png'}")
