"""`face3d convert`."""

from typing import Annotated

import typer

from face3d.cli.options import HeadFile, OutputFile
from face3d.cli.talk import one_sentence_errors, save_head


def convert(
    head: HeadFile,
    to: Annotated[str, typer.Option("--to", help="A name from `face3d models list`.", show_default=False)],
    output: OutputFile,
) -> None:
    """Carry a head to another model's mesh and coefficients, with its 52 shapes and its skin."""
    with one_sentence_errors(ValueError):
        from face3d.convert import convert as converted
        from morphable import Head

        result = converted(Head.load(head), to)
        save_head(result.head, output)
        typer.echo(
            f"The new mesh lies {result.surface_mm:.2f} mm from the old one (median); "
            f"its coefficients alone leave {result.model_mm:.2f} mm."
        )
