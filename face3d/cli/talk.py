"""What every command says to a person: progress on a terminal, one sentence for what went wrong."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from morphable import Head

Picture = TypeVar("Picture")


def save_head(head: "Head", output: Path) -> None:
    """Write a head, and say where."""
    output.parent.mkdir(parents=True, exist_ok=True)
    head.save(output)
    typer.echo(f"Head: {output}")


@contextmanager
def one_sentence_errors(*more: type[Exception]) -> Iterator[None]:
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


class TerminalProgress:
    """Lines with these columns, shown while the `with` block runs; silent when the output is piped."""

    def __init__(self, *columns: ProgressColumn) -> None:
        self._progress = Progress(*columns, console=Console(), disable=not sys.stdout.isatty())

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()


class StageLines(TerminalProgress):
    """Shows a person what is going on, a line per stage with its time."""

    def __init__(self) -> None:
        super().__init__(
            SpinnerColumn(finished_text="✓"), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
        )
        self._stage = ""
        self._task: TaskID | None = None

    def __call__(self, stage: str, fraction: float) -> None:
        """The named stage is this far, from 0 to 1."""
        if stage != self._stage:
            self._finish()
            self._stage, self._task = stage, self._progress.add_task(stage, total=1.0)
        if self._task is not None:
            self._progress.update(self._task, completed=fraction)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._finish()
        super().__exit__(kind, error, traceback)

    def drawing(self, pictures: Iterator[Picture], count: int) -> Iterator[Picture]:
        """The pictures, `count` in all; each is counted when the next one is asked for."""
        for index, picture in enumerate(pictures):
            yield picture
            self("drawing", (index + 1) / count)

    def _finish(self) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=1.0)
