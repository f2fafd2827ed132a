"""The command line: a module a command.

Heavy imports wait inside the commands, so that `--help` and `--version` answer at once.
"""

from typing import Annotated

import typer

from face3d import __version__
from face3d.cli.adapt import adapt
from face3d.cli.animate import animate
from face3d.cli.avatar import avatar
from face3d.cli.convert import convert
from face3d.cli.evaluate import evaluate
from face3d.cli.export import export
from face3d.cli.live import live
from face3d.cli.measure import measure
from face3d.cli.models import models
from face3d.cli.motion import motion
from face3d.cli.parse import parse
from face3d.cli.portrait import portrait
from face3d.cli.reconstruct import reconstruct
from face3d.cli.render import render
from face3d.cli.rig import rig
from face3d.cli.speak import speak
from face3d.cli.synth import synth
from face3d.cli.track import track
from face3d.cli.train import train

app = typer.Typer(
    name="face3d",
    help="From one photo to a head that a game engine opens.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(reconstruct)
app.command()(export)
app.command()(convert)
app.command()(rig)
app.command()(track)
app.command()(live)
app.command()(render)
app.command()(portrait)
app.command()(animate)
app.command()(motion)
app.command()(speak)
app.command()(measure)
app.command()(evaluate)
app.command()(parse)
app.command()(adapt)
app.command()(synth)
app.add_typer(models, name="models")
app.add_typer(avatar, name="avatar")
app.add_typer(train, name="train")


def main() -> None:
    """Entry point of the `face3d` command."""
    app(prog_name="face3d")


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"face3d {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass
