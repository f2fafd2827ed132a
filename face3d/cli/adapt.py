"""`face3d adapt`."""

from pathlib import Path
from typing import Annotated

import typer

from face3d.cli.talk import StageLines, one_sentence_errors
from face3d.cli.train import StepCount


def adapt(
    folder: Annotated[Path, typer.Argument(help="Folder of photos and videos, of anybody.", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder; one that is there is gone on with.", show_default=False)
    ],
    network: Annotated[
        Path | None,
        typer.Option(help="Start from this .safetensors rather than the one that is shipped.", show_default=False),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="More teach it more.")] = 400,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn.")] = 0,
) -> None:
    """Teach the project's network on your own photos, which need no labels; nothing leaves this machine."""
    with one_sentence_errors():
        from face3d.output import require_writable_directory

        require_writable_directory(output)
        with StageLines() as stages:
            stages("loading", 0.0)
            from face3d.perception import MediaPipeDetector
            from face3d.perception.network import FaceReader
            from face3d.perception.network.own_photos import HELD_BACK, agreement, lesson, own_faces
            from face3d.perception.network.reading import network_file
            from face3d.perception.teaching import teach

            start = network_file(network)
            reader = FaceReader.load(start)
            stages("reading faces", 0.0)
            with MediaPipeDetector() as detector:
                faces = own_faces(folder, detector, reader)
        held_back = faces[::HELD_BACK]
        learned = [face for index, face in enumerate(faces) if index % HELD_BACK]
        before = agreement(reader, held_back)
        plan = lesson(start, learned, steps, seed)
        with StepCount() as count:
            teach(output, plan, count)
        after = agreement(FaceReader.load(output / plan.weights), held_back)
    typer.echo(f"Faces learned from: {len(learned)}; looked at before and after: {len(held_back)}.")
    typer.echo("Distance from what both detectors saw, over that of the eyes' outer corners:")
    for name in ("bare", "covered"):
        typer.echo(f"  {name:8} {100 * getattr(before, name):5.2f} % -> {100 * getattr(after, name):5.2f} %")
    typer.echo(f"Network: {output / plan.weights}")
