"""`face3d track`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from face3d.cli.options import Landmarker, WhomToFollow
from face3d.cli.talk import TerminalProgress, one_sentence_errors

if TYPE_CHECKING:
    from morphable import Head, Performance

PERFORMANCES = (".csv", ".json", ".npz")
ANIMATED = (".glb", ".usda", ".usdc", ".usdz")
VIDEOS = (".mp4", ".webm")
LIGHTS = (".npz",)


def track(
    clip: Annotated[Path, typer.Argument(help="A video of a person.", show_default=False)],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The motion: .csv (Live Link Face) .json .npz; or the head with it: .glb .usda .usdc .usdz.",
            show_default=False,
        ),
    ],
    head: Annotated[
        Path | None, typer.Option(help="The person's head (.glb); else estimated from the video.", show_default=False)
    ] = None,
    overlay: Annotated[
        Path | None, typer.Option(help="Also write the video with the head over it: .mp4 .webm.", show_default=False)
    ] = None,
    light: Annotated[
        Path | None, typer.Option(help="Also write the light on the face in each frame: .npz.", show_default=False)
    ] = None,
    face: WhomToFollow = 0,
    streaming: Annotated[
        bool, typer.Option("--streaming", help="Look no frame ahead, as `face3d live` does; less steady.")
    ] = False,
    landmarker: Landmarker = None,
) -> None:
    """Track a person's face through a video: expressions, head and gaze. Killed, the same command goes on."""
    with one_sentence_errors(ValueError):
        _require(output, PERFORMANCES + ANIMATED, "A motion")
        if overlay is not None:
            _require(overlay, VIDEOS, "An overlay")
        if light is not None:
            _require(light, LIGHTS, "Light")
        with FrameCount() as frames:
            frames("loading", 0, 0)
            from face3d.errors import Face3DError
            from face3d.perception import MediaPipeDetector
            from face3d.track import run_tracking
            from face3d.track.lighting import lighting
            from face3d.track.overlay import write_overlay
            from face3d.track.sightings import forget
            from morphable import Head

            kept = output.with_name(f"{output.name}.part")
            given = None if head is None else Head.load(head)
            try:
                with MediaPipeDetector(landmarker) as detector:
                    tracked = run_tracking(
                        clip, kept, head=given, face=face, streaming=streaming, detector=detector, progress=frames
                    )
            except Face3DError:
                forget(kept)
                raise
            count = len(tracked.performance)
            if overlay is not None:
                write_overlay(overlay, clip, tracked, lambda done: frames("drawing", done, count))
            if light is not None:
                lighting(clip, tracked, lambda done: frames("lighting", done, count)).save(light)
            _save(tracked.performance, tracked.head, output)
        forget(kept)
        for warning in tracked.warnings:
            typer.echo(f"Warning: {warning}", err=True)
        typer.echo(f"Motion:  {output} ({count} frames, {tracked.performance.duration:.1f} s)")
        if overlay is not None:
            typer.echo(f"Overlay: {overlay}")
        if light is not None:
            typer.echo(f"Light:   {light}")


def _require(path: Path, suffixes: tuple[str, ...], what: str) -> None:
    from face3d.errors import Face3DError
    from face3d.output import require_writable_directory

    if path.suffix.lower() not in suffixes:
        raise Face3DError(
            f"{what} is written as {' '.join(suffixes)}, not as {path.suffix or 'a file without a suffix'}."
        )
    require_writable_directory(path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)


def _save(performance: "Performance", head: "Head", output: Path) -> None:
    from avatars.export import glb, usd

    suffix = output.suffix.lower()
    if suffix in PERFORMANCES:
        performance.save(output)
    elif suffix == ".glb":
        glb.save(head, output, performance)
    else:
        usd.save(head, output, performance)


class FrameCount(TerminalProgress):
    """Shows a person how many frames are done, how fast, and how long it will take."""

    def __init__(self) -> None:
        super().__init__(
            TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn()
        )
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Of the named stage, so many frames are done; a total of 0 means that nobody knows."""
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total or None)
        self._progress.update(self._tasks[stage], completed=done, total=total or None)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:5.1f} fps" if speed else "")
