"""`face3d portrait`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from face3d.cli.options import FrameRate, Motion, OutputVideo, Sound, WhichFace
from face3d.cli.talk import StageLines, one_sentence_errors
from face3d.cli.track import FrameCount

if TYPE_CHECKING:
    from morphable import Head, Performance

VIDEOS = (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi")
"""Suffixes of what is dubbed."""


def portrait(
    photo: Annotated[Path, typer.Argument(help="A photo of a face, or a video to be dubbed.", show_default=False)],
    motion: Motion,
    output: OutputVideo,
    sound: Sound = None,
    head: Annotated[
        Path | None,
        typer.Option(help="The person's head (.glb); else made from photo or video.", show_default=False),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="lips, eyes, brows, cheeks, expression or pose; the rest stays. Repeatable. Of a video: lips."
        ),
    ] = None,
    absolute: Annotated[
        bool, typer.Option("--absolute", help="Take expression and pose as they are, not as changes to the photo's.")
    ] = False,
    rate: FrameRate = None,
    face: WhichFace = 0,
) -> None:
    """Let a photo itself move as a performance says, with sound; or give a video's lips a new performance."""
    with one_sentence_errors(ValueError):
        from avatars.media import read_sound
        from avatars.portrait import require_choices
        from face3d.errors import Face3DError
        from morphable import Head, Performance

        _require_video(output)
        performance = Performance.load(motion)
        require_choices(only or ())
        if sound is not None:
            read_sound(sound)
        own = None if head is None else Head.load(head)
        if photo.suffix.lower() in VIDEOS:
            if rate is not None or absolute:
                raise Face3DError(
                    "A video keeps its pace, and takes a motion as it is; leave out --rate and --absolute."
                )
            _dub(photo, performance, output, only or ["lips"], sound, own, face)
        else:
            _animate(photo, performance, output, only or (), sound, own, face, rate, absolute)


def _animate(
    photo: Path,
    performance: "Performance",
    output: Path,
    only: Sequence[str],
    sound: Path | None,
    head: "Head | None",
    face: int,
    rate: float | None,
    absolute: bool,
) -> None:
    from avatars import portrait as performer
    from avatars.media import write_video
    from face3d.dubbing import even_sided
    from face3d.photo import load_photo
    from face3d.portrait import posed_photo
    from morphable.editing import frame_times, video_rate

    chosen = rate or video_rate(performance)
    count = len(frame_times(performance, chosen))
    with StageLines() as stages:
        posed = posed_photo(load_photo(photo), head=head, face=face, progress=stages)
        drive = performer.absolute if absolute else performer.relative
        pictures = performer.frames(posed, drive(posed, performance, only), chosen)
        output.parent.mkdir(parents=True, exist_ok=True)
        write_video(output, stages.drawing(even_sided(pictures), count), chosen, sound)
    typer.echo(f"Video: {output} ({count} frames, {count / chosen:.1f} s)")


def _dub(
    clip: Path,
    performance: "Performance",
    output: Path,
    only: Sequence[str],
    sound: Path | None,
    head: "Head | None",
    face: int,
) -> None:
    """What has been seen of the video lies beside the output until it is written: killed, the command goes on."""
    from face3d.dubbing import dub
    from face3d.errors import Face3DError
    from face3d.track.sightings import forget

    output.parent.mkdir(parents=True, exist_ok=True)
    kept = output.with_name(f"{output.name}.part")
    with FrameCount() as frames:
        try:
            dubbed = dub(output, clip, performance, kept, only=only, sound=sound, head=head, face=face, progress=frames)
        except (Face3DError, ValueError):
            forget(kept)
            raise
    forget(kept)
    for warning in dubbed.warnings:
        typer.echo(f"Warning: {warning}", err=True)
    typer.echo(f"Video: {output} ({dubbed.frames} frames, {dubbed.frames / dubbed.rate:.1f} s)")


def _require_video(output: Path) -> None:
    """What cannot be written is said before minutes of work."""
    from avatars.media import CODECS
    from face3d.errors import Face3DError

    if output.suffix.lower() not in CODECS:
        raise Face3DError(f"{output}: a photo moves in {' and '.join(CODECS)} files; choose one of them.")
