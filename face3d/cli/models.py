"""`face3d models`."""

from pathlib import Path
from typing import Annotated

import typer

from face3d.cli.talk import one_sentence_errors

models = typer.Typer(help="Head models.", no_args_is_help=True)


@models.command("list")
def list_models() -> None:
    """List the head models."""
    import morphable

    for name in morphable.names():
        typer.echo(name)


@models.command("export")
def export_model(
    name: Annotated[str, typer.Argument(help="A name from `face3d models list`.", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write; its suffix says the format.", show_default=False)
    ],
) -> None:
    """Save a model's average head."""
    with one_sentence_errors(ValueError):
        import torch

        import morphable
        from morphable.appearance import default_textures

        model = morphable.load(name)
        head = morphable.Head.from_model(model, torch.zeros(model.identities), default_textures(model))
        output.parent.mkdir(parents=True, exist_ok=True)
        head.save(output)
        typer.echo(f"Head: {output}")
