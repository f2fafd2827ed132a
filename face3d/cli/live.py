"""`face3d live`."""

from pathlib import Path
from typing import Annotated

import typer

from face3d.cli.options import Landmarker, WhomToFollow
from face3d.cli.talk import one_sentence_errors


def live(
    send: Annotated[
        str, typer.Option(help="livelink://HOST:PORT, osc://HOST:PORT or vmc://HOST:PORT.", show_default=False)
    ],
    camera: Annotated[
        str | None, typer.Option(help="Its number; on Windows its name. Default: 0.", show_default=False)
    ] = None,
    video: Annotated[Path | None, typer.Option(help="A file in place of a camera.", show_default=False)] = None,
    head: Annotated[
        Path | None, typer.Option(help="The person's head (.glb); else estimated first.", show_default=False)
    ] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="The first second shows the neutral face, at rest.")
    ] = False,
    face: WhomToFollow = 0,
    landmarker: Landmarker = None,
) -> None:
    """Send a face's motion as it happens, to Unreal (Live Link Face) or by OSC. Ctrl+C ends it."""
    with one_sentence_errors(ValueError):
        from avatars.live.sender import Sender
        from face3d.errors import Face3DError
        from face3d.perception import MediaPipeDetector
        from face3d.track.live import LiveFace, camera_frames, paced
        from face3d.track.video import Video
        from morphable import Head

        if camera is not None and video is not None:
            raise Face3DError("A camera and a video cannot both be followed; give one of them.")
        given = None if head is None else Head.load(head)
        frames = camera_frames(camera or "0") if video is None else paced(Video(video).read())
        count = 0
        with Sender(send) as sender, MediaPipeDetector(landmarker) as detector:
            typer.echo("Getting to know the face; look at the camera.")
            try:
                for moment in LiveFace(detector, given, calibrate, face).moments(frames):
                    sender.send(moment)
                    if count == 0:
                        typer.echo(f"Sending to {send}.")
                    count += 1
            except KeyboardInterrupt:
                pass
        typer.echo(f"Sent {count} frames to {send}.")
