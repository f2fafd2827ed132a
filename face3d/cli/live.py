"""`face3d live`."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from face3d.cli.options import Landmarker, WhomToFollow
from face3d.cli.talk import one_sentence_errors


def live(
    send: Annotated[
        str | None,
        typer.Option(help="livelink://HOST:PORT, osc://HOST:PORT or vmc://HOST:PORT.", show_default=False),
    ] = None,
    preview: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Show camera and head on this port of 127.0.0.1.", show_default=False),
    ] = None,
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
    """Send a face's motion as it happens, to Unreal (Live Link Face) or by OSC. Ctrl+C ends it.

    With --preview a browser on this computer shows the camera and a head that moves with it: yours, or the average one.
    """
    with one_sentence_errors(ValueError):
        from threadpoolctl import threadpool_limits

        from avatars.live.preview import Preview
        from avatars.live.sender import Sender
        from face3d.errors import Face3DError
        from face3d.heads import average_head
        from face3d.perception import MediaPipeDetector
        from face3d.track.live import LiveFace, camera_frames, paced
        from face3d.track.video import Video
        from morphable import Head

        if camera is not None and video is not None:
            raise Face3DError("A camera and a video cannot both be followed; give one of them.")
        if send is None and preview is None:
            raise Face3DError("Nobody would see it; give --send ADDRESS, --preview PORT, or both.")
        given = None if head is None else Head.load(head)
        frames = camera_frames(camera or "0") if video is None else paced(Video(video).read())
        count = 0
        with ExitStack() as stack:
            stack.enter_context(threadpool_limits(1, "blas"))
            sender = None if send is None else stack.enter_context(Sender(send))
            page = None if preview is None else stack.enter_context(Preview(given or average_head(), preview))
            detector = stack.enter_context(MediaPipeDetector(landmarker))
            if page is not None:
                typer.echo(f"Preview: {page.address}")
            typer.echo("Getting to know the face; look at the camera.")
            try:
                for frame, moment in LiveFace(detector, given, calibrate, face).moments(frames):
                    if sender is not None:
                        sender.send(moment)
                    if page is not None:
                        page.show(moment, frame.pixels)
                    if count == 0 and send is not None:
                        typer.echo(f"Sending to {send}.")
                    count += 1
            except KeyboardInterrupt:
                pass
        typer.echo(f"Sent {count} frames to {send}." if send is not None else f"Showed {count} frames.")
