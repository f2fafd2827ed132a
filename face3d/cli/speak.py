"""`face3d speak`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from face3d.cli.options import OutputFile
from face3d.cli.talk import StageLines, one_sentence_errors

if TYPE_CHECKING:
    from morphable import Head, Performance

VIDEOS, MOTIONS = (".mp4", ".webm"), (".csv", ".json", ".npz")
VIDEO_RATE = 30.0
GREY = 0.033
"""Behind the head, linear: #333333."""


def speak(
    sound: Annotated[Path, typer.Argument(help="Speech: any audio or video file.", show_default=False)],
    output: OutputFile,
    head: Annotated[
        Path | None, typer.Option(help="Who speaks in a video: a .glb; else the average head.", show_default=False)
    ] = None,
    text: Annotated[str | None, typer.Option(help="What is said, in English.", show_default=False)] = None,
    emotion: Annotated[
        list[str] | None,
        typer.Option(help="As happiness=0.6, or over time, happiness=0@0,0.8@2.5 (seconds).", show_default=False),
    ] = None,
    style: Annotated[
        Path | None, typer.Option(help="A performance whose manner is wanted: .csv .json .npz.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same take.")] = 0,
) -> None:
    """Let a voice move a head: a performance (.csv .json .npz), or a video with its sound (.mp4 .webm)."""
    with one_sentence_errors(ValueError), StageLines() as stages:
        stages("listening", 0.0)
        _require_known(output, head)
        emotions = dict(_emotion(given) for given in emotion or ())
        from avatars import speech
        from morphable import Performance

        manner = None if style is None else Performance.load(style)
        heard = speech.load_sound(sound)
        performance = speech.speak(heard, text, emotions=emotions, style=manner, seed=seed)
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.suffix.lower() in VIDEOS:
            _write_video(output, _head(head), performance, sound, stages)
        else:
            performance.save(output)
    kind = "Video" if output.suffix.lower() in VIDEOS else "Performance"
    typer.echo(f"{kind}: {output} ({performance.duration:.1f} s)")


def _require_known(output: Path, head: Path | None) -> None:
    from face3d.errors import Face3DError

    suffix = output.suffix.lower()
    if suffix not in (*VIDEOS, *MOTIONS):
        known = " ".join((*MOTIONS, *VIDEOS))
        raise Face3DError(f"{output}: a voice becomes one of {known}, not {suffix or 'a file without a suffix'}.")
    if head is not None and suffix in MOTIONS:
        raise Face3DError("A performance is nobody's head; leave --head out, or write a .mp4.")


def _emotion(given: str) -> "tuple[str, float | list[tuple[float, float]]]":
    """Of NAME=INTENSITY or NAME=INTENSITY@SECONDS,..."""
    from face3d.errors import Face3DError

    name, _, amount = given.partition("=")
    try:
        if "@" not in amount:
            return name, float(amount)
        keys = [key.split("@") for key in amount.split(",")]
        return name, [(float(seconds), float(intensity)) for intensity, seconds in keys]
    except ValueError as error:
        message = f"{given!r} is no emotion with its intensity; write it as happiness=0.6 or happiness=0@0,0.8@2.5."
        raise Face3DError(message) from error


def _head(path: Path | None) -> "Head":
    from face3d.heads import average_head
    from morphable import Head

    return average_head() if path is None else Head.load(path)


def _write_video(output: Path, head: "Head", performance: "Performance", sound: Path, stages: StageLines) -> None:
    import numpy as np

    from avatars.media import write_video
    from avatars.mesh_performer import frames
    from morphable.editing import frame_times

    count = len(frame_times(performance, VIDEO_RATE))
    pictures = frames(head, performance, VIDEO_RATE, background=np.full(3, GREY))
    write_video(output, stages.drawing(pictures, count), VIDEO_RATE, sound)
