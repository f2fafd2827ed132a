"""`face3d train`."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from face3d.cli.options import OutputFile
from face3d.cli.talk import TerminalProgress, one_sentence_errors

if TYPE_CHECKING:
    from face3d.perception.teaching import Lesson

Preset = TypeVar("Preset")
train = typer.Typer(no_args_is_help=True)


class StepCount(TerminalProgress):
    """Shows a person how far the teaching is, and at what loss."""

    def __init__(self) -> None:
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        super().__init__(*columns, TimeRemainingColumn())
        self._task = self._progress.add_task("", total=None)

    def __call__(self, step: int, steps: int, loss: float) -> None:
        self._progress.update(self._task, completed=step, total=steps, description=f"loss {loss:.3f}")


@train.callback()
def _networks() -> None:
    """Teach the project's networks on synthetic photos, and write them for other runtimes."""


Folder = Annotated[
    Path, typer.Option("--output", "-o", help="Folder; one that is there is gone on with.", show_default=False)
]
Steps = Annotated[
    int | None,
    typer.Option(min=1, help="Steps in all; more of them go on.  [default: the preset's]", show_default=False),
]
Seed = Annotated[int, typer.Option(min=0, help="Of the photos and of the start.")]


@train.command()
def perception(
    output: Folder,
    preset: Annotated[str, typer.Option(help="cpu, cpu-small or gpu.")] = "cpu",
    steps: Steps = None,
    seed: Seed = 0,
    start: Annotated[Path | None, typer.Option(help="A taught .safetensors to begin with.", show_default=False)] = None,
) -> None:
    """Teach the network that finds landmarks, pose and classes of pixels; can be killed and started again at any time.

    Several processes: torchrun --nproc-per-node 2 -m face3d train perception -o DIR.
    """
    with one_sentence_errors():
        from face3d.perception.network.training import PRESETS, lesson

        _taught(output, lesson(_chosen(PRESETS, preset), seed, start), steps)


@train.command()
def detector(
    output: Folder,
    preset: Annotated[str, typer.Option(help="cpu or gpu.")] = "cpu",
    steps: Steps = None,
    seed: Seed = 0,
) -> None:
    """Teach the network that finds faces: boxes, five points, poses; as `perception`, can be killed at any time."""
    with one_sentence_errors():
        from face3d.perception.finder.training import PRESETS, lesson

        _taught(output, lesson(_chosen(PRESETS, preset), seed), steps)


def _chosen(presets: Mapping[str, Preset], name: str) -> Preset:
    from face3d.errors import Face3DError

    if name not in presets:
        raise Face3DError(f"There is no preset {name!r}; choose one of {', '.join(presets)}.")
    return presets[name]


def _taught(output: Path, lesson: "Lesson", steps: int | None) -> None:
    from face3d.output import require_writable_directory
    from face3d.perception.teaching import CURVES, teach

    require_writable_directory(output)
    with StepCount() as count:
        teach(output, replace(lesson, steps=steps or lesson.steps), count)
    typer.echo(f"Network: {output / lesson.weights}; curves: {output / CURVES}")


@train.command()
def export(
    network: Annotated[Path, typer.Argument(help="A taught network (.safetensors).", show_default=False)],
    output: OutputFile,
) -> None:
    """Write a taught network as .onnx, for other runtimes. Needs the extra `onnx`."""
    with one_sentence_errors():
        from face3d.errors import Face3DError
        from face3d.perception.network.onnx_file import export_onnx
        from face3d.perception.network.weights import load_network

        if output.suffix != ".onnx":
            raise Face3DError(f"{output} is no .onnx file; name one.")
        taught = load_network(network)
        output.parent.mkdir(parents=True, exist_ok=True)
        export_onnx(taught, output)
    typer.echo(f"Network: {output}")
