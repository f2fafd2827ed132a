"""`face3d portrait`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from face3d.cli.options import FrameRate, Motion, OutputVideo, Sound, WhichFace
from face3d.cli.talk import StageLines, one_sentence_errors

if TYPE_CHECKING:
    import numpy as np


def portrait(
    photo: Annotated[Path, typer.Argument(help="A photo of a face.", show_default=False)],
    motion: Motion,
    output: OutputVideo,
    sound: Sound = None,
    head: Annotated[
        Path | None, typer.Option(help="The person's head (.glb); else made from the photo.", show_default=False)
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="lips, eyes, brows, cheeks, expression or pose; the rest stays. Repeatable."),
    ] = None,
    absolute: Annotated[
        bool, typer.Option("--absolute", help="Take expression and pose as they are, not as changes to the photo's.")
    ] = False,
    rate: FrameRate = None,
    face: WhichFace = 0,
) -> None:
    """Let a photo itself move as a performance says: a video of the photo's size, with sound."""
    with one_sentence_errors(ValueError), StageLines() as stages:
        stages("loading", 0.0)
        from avatars import portrait as performer
        from avatars.media import read_sound, write_video
        from face3d.photo import load_photo
        from face3d.portrait import posed_photo
        from morphable import Head, Performance
        from morphable.editing import frame_times, video_rate

        _require_video(output)
        performance = Performance.load(motion)
        chosen = rate or video_rate(performance)
        count = len(frame_times(performance, chosen))
        performer.require_choices(only or ())
        if sound is not None:
            read_sound(sound)
        own = None if head is None else Head.load(head)
        posed = posed_photo(load_photo(photo), head=own, face=face, progress=stages)
        drive = performer.absolute if absolute else performer.relative
        pictures = performer.frames(posed, drive(posed, performance, only or ()), chosen)
        output.parent.mkdir(parents=True, exist_ok=True)
        write_video(output, stages.drawing(_even(pictures), count), chosen, sound)
    typer.echo(f"Video: {output} ({count} frames, {count / chosen:.1f} s)")


def _require_video(output: Path) -> None:
    """What cannot be written is said before minutes of work."""
    from avatars.media import CODECS
    from face3d.errors import Face3DError

    if output.suffix.lower() not in CODECS:
        raise Face3DError(f"{output}: a photo moves in {' and '.join(CODECS)} files; choose one of them.")


def _even(pictures: "Iterator[np.ndarray]") -> "Iterator[np.ndarray]":
    """Without a last odd row or column, which videos cannot have."""
    for picture in pictures:
        height, width = (side // 2 * 2 for side in picture.shape[:2])
        yield picture[:height, :width]
