"""The command line: `face3d reconstruct`, `face3d export`, `face3d models`.

Heavy imports wait inside the commands, so that `--help` and `--version` answer at once.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Annotated, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from face3d import __version__

app = typer.Typer(
    name="face3d",
    help="From one photo to a head that a game engine opens.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
models = typer.Typer(help="Head models.", no_args_is_help=True)
app.add_typer(models, name="models")


def main() -> None:
    """Entry point of the `face3d` command."""
    app(prog_name="face3d")


@app.command()
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
    with _one_sentence_errors():
        from face3d.output import require_writable_directory

        require_writable_directory(output)
        with _Stages() as stages:
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


@app.command()
def export(
    head: Annotated[Path, typer.Argument(help="A head saved by face3d (.glb).", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write; its suffix says the format.", show_default=False)
    ],
) -> None:
    """Convert a head to another format."""
    with _one_sentence_errors(ValueError):
        from morphable import Head

        loaded = Head.load(head)
        output.parent.mkdir(parents=True, exist_ok=True)
        loaded.save(output)
        typer.echo(f"Head: {output}")


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
    with _one_sentence_errors(ValueError):
        import torch

        import morphable
        from morphable.appearance import default_textures

        model = morphable.load(name)
        head = morphable.Head.from_model(model, torch.zeros(model.identities), default_textures(model))
        output.parent.mkdir(parents=True, exist_ok=True)
        head.save(output)
        typer.echo(f"Head: {output}")


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


@contextmanager
def _one_sentence_errors(*more: type[Exception]) -> Iterator[None]:
    """What a person can mend (and `more`) ends the command with one sentence on stderr and exit code 1."""
    from face3d.errors import Face3DError

    kinds: tuple[type[Exception], ...] = (Face3DError, OSError, *more)
    try:
        yield
    except kinds as error:
        typer.echo(f"Error: {_sentence(error)}", err=True)
        raise typer.Exit(1) from error


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    return str(error)


class _Stages:
    """Shows a person what is going on, a line per stage with its time; silent when the output is piped."""

    def __init__(self) -> None:
        columns = SpinnerColumn(finished_text="✓"), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
        self._progress = Progress(*columns, console=Console(), disable=not sys.stdout.isatty())
        self._stage = ""
        self._task: TaskID | None = None

    def __call__(self, stage: str, fraction: float) -> None:
        """The named stage is this far, from 0 to 1."""
        if stage != self._stage:
            self._finish()
            self._stage, self._task = stage, self._progress.add_task(stage, total=1.0)
        if self._task is not None:
            self._progress.update(self._task, completed=fraction)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._finish()
        self._progress.stop()

    def _finish(self) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=1.0)
