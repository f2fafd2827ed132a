"""`face3d export`."""

from pathlib import Path
from typing import Annotated

import typer

from face3d.cli.talk import OutputFile, one_sentence_errors, save_head


def export(
    head: Annotated[Path, typer.Argument(help="A head saved by face3d (.glb).", show_default=False)],
    output: OutputFile,
) -> None:
    """Convert a head to another format."""
    with one_sentence_errors(ValueError):
        from morphable import Head

        save_head(Head.load(head), output)
