"""`face3d export`."""

from pathlib import Path
from typing import Annotated

import typer

from face3d.cli.talk import one_sentence_errors


def export(
    head: Annotated[Path, typer.Argument(help="A head saved by face3d (.glb).", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write; its suffix says the format.", show_default=False)
    ],
) -> None:
    """Convert a head to another format."""
    with one_sentence_errors(ValueError):
        from morphable import Head

        loaded = Head.load(head)
        output.parent.mkdir(parents=True, exist_ok=True)
        loaded.save(output)
        typer.echo(f"Head: {output}")
