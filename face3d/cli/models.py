"""`face3d models`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from face3d.cli.options import ModelName, OutputFile
from face3d.cli.talk import one_sentence_errors, save_head

if TYPE_CHECKING:
    from morphable.catalogue import Entry

models = typer.Typer(help="Head models.", no_args_is_help=True)


@models.command("list")
def list_models() -> None:
    """List the head models: vertices, identity coefficients, how many of ARKit's 52 shapes."""
    with one_sentence_errors(ValueError):
        from morphable.catalogue import entries

        for entry in entries():
            typer.echo(_line(entry))


@models.command("add")
def add_model(
    path: Annotated[Path, typer.Argument(help="The file, or ICT-FaceKit's folder.", show_default=False)],
    name: Annotated[
        str | None,
        typer.Option(help="What to call it, or the FLAME it goes with: flame, basel or ict.", show_default=False),
    ] = None,
) -> None:
    """Add your own copy of FLAME, Basel or ICT-FaceKit, or what goes with FLAME: landmarks, masks, texture, networks.

    The file is checked, nothing in it is run, and it is not needed afterwards. A model without ARKit's 52 shapes gets
    the default head's, which takes some seconds.
    """
    with one_sentence_errors(ValueError):
        from face3d.models import add

        typer.echo(_line(add(path, name)))


@models.command("remove")
def remove_model(name: ModelName) -> None:
    """Forget a model that was added."""
    with one_sentence_errors(ValueError):
        from morphable.catalogue import remove

        remove(name)


@models.command("export")
def export_model(name: ModelName, output: OutputFile) -> None:
    """Save a model's average head."""
    with one_sentence_errors(ValueError):
        import torch

        import morphable
        from morphable.appearance import default_textures
        from morphable.catalogue import DEFAULT, load_albedo
        from morphable.uniform import uniform_textures

        model = morphable.load(name)
        textures = default_textures(model) if name == DEFAULT else uniform_textures(model, load_albedo(name))
        save_head(morphable.Head.from_model(model, torch.zeros(model.identities), textures), output)


def _line(entry: "Entry") -> str:
    from face3d.perception import published
    from morphable.arkit import ARKIT_NAMES

    networks = ", ".join(published.names(entry.name))
    origin = f"(from {entry.source})" + (f"; networks: {networks}" if networks else "")
    line = f"{entry.name}: {entry.vertices} vertices, {entry.identities} identity coefficients, "
    if not entry.shapes:
        return f"{line}no ARKit shapes {origin}"
    missing = [name for name in ARKIT_NAMES if name not in entry.shapes]
    lacking = f", not {', '.join(missing)}" if missing else ""
    return f"{line}{len(entry.shapes)} of {len(ARKIT_NAMES)} ARKit shapes{lacking} {origin}"
