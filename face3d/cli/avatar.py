"""`face3d avatar`."""

import math
from mimetypes import guess_type
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn

from face3d.cli.options import FrameRate, Motion, Orbit, OutputFile, OutputVideo, Sound, WhomToFollow
from face3d.cli.talk import StageLines, TerminalProgress, one_sentence_errors

if TYPE_CHECKING:
    import numpy as np

avatar = typer.Typer(no_args_is_help=True, help="Neural avatars: learned from a video, driven by any performance.")
Folder = Annotated[Path, typer.Argument(help="An avatar's folder.", show_default=False)]
PAGE = ".html"


@avatar.command()
def train(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="Videos of one person, each by a camera that stands still; or a photo; or a folder as VHAP writes it.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The avatar's folder, e.g. ada.avatar.", show_default=False)
    ],
    kind: Annotated[
        str,
        typer.Option(
            help="gaussian (drawn at once, sharper), radiance (seconds a picture) or texture (a mesh and a network); "
            "the last two at half the size."
        ),
    ] = "gaussian",
    preset: Annotated[
        str, typer.Option(help="cpu (256 pixels) or gpu (512 pixels, for hours without one); photos twice as many.")
    ] = "cpu",
    holdout: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of each clip, its end, kept to compare with.")
    ] = 0.0,
    head: Annotated[
        Path | None,
        typer.Option(help="The person's head (.glb); else estimated from the first video.", show_default=False),
    ] = None,
    face: WhomToFollow = 0,
) -> None:
    """Learn an avatar from videos, or lift one from a photo in a minute. Killed, the same command goes on.

    Several videos may be of different light and cameras: the avatar has the look of the first.
    """
    with one_sentence_errors(ValueError):
        with LearningLines() as lines:
            lines.frames("loading", 0, 0)
            from face3d import avatar as front_door
            from face3d.errors import Face3DError
            from face3d.output import require_writable_directory
            from morphable import Head

            if output.is_file():
                raise Face3DError(f"{output} is a file; an avatar is a folder.")
            require_writable_directory(output)
            given = None if head is None else Head.load(head)
            if any((guess_type(source.name)[0] or "").startswith("image/") for source in sources):
                if len(sources) > 1:
                    raise Face3DError("An avatar is lifted from one photo alone, or learned from videos.")
                if kind != "gaussian":
                    raise Face3DError(f"A photo is lifted onto Gaussians; --kind {kind} is for videos.")
                if holdout:
                    raise Face3DError("A photo has no end to hold out; --holdout is for videos.")
                _, found = front_door.from_photo(
                    sources[0], output, preset=preset, head=given, face=face, progress=lines.frames
                )
            else:
                _, found = front_door.train(
                    sources,
                    output,
                    kind=kind,
                    preset=preset,
                    holdout=holdout,
                    head=given,
                    face=face,
                    progress=lines.frames,
                    learning=lines.steps,
                )
        seen = "a photo" if found["frames"] == 1 else f"{found['frames']} frames"
        fields = {"radiance": "a radiance field", "texture": "a neural texture"}
        made_of = fields.get(kind) or f"{found['gaussians']} Gaussians"
        typer.echo(f"Avatar: {output} ({made_of} from {seen})")
        for warning in found.get("warnings", []):
            typer.echo(f"Warning: {warning}", err=True)
        if found["psnr"] is not None:
            typer.echo(
                f"Held out: {len(found['held_out'])} frames, head {found['psnr']:.2f} dB, SSIM {found['ssim']:.3f}"
            )


@avatar.command()
def render(
    folder: Folder,
    motion: Motion,
    output: OutputVideo,
    sound: Sound = None,
    size: Annotated[
        int | None, typer.Option(help="Pixels of the longer side; else the clip's.", show_default=False)
    ] = None,
    rate: FrameRate = None,
    yaw: Annotated[float, typer.Option(help="Camera, degrees from the clip's to the person's left.")] = 0.0,
    orbit: Orbit = 0.0,
    background: Annotated[
        str | None, typer.Option(help="A colour's name or #rrggbb; else the clip's background.", show_default=False)
    ] = None,
) -> None:
    """Let an avatar play a performance to a video, with sound."""
    with one_sentence_errors(ValueError), StageLines() as stages:
        stages("loading", 0.0)
        from avatars.media import write_video
        from avatars.neural.performer import View, frames
        from face3d.avatar import load
        from morphable import Performance
        from morphable.editing import frame_times, video_rate

        performance = Performance.load(motion)
        chosen = rate or video_rate(performance)
        count = len(frame_times(performance, chosen))
        view = View(math.radians(yaw), math.radians(orbit), size)
        behind = None if background is None else _colour(background)
        pictures = frames(load(folder), performance, chosen, view, background=behind)
        output.parent.mkdir(parents=True, exist_ok=True)
        write_video(output, stages.drawing(pictures, count), chosen, sound)
    typer.echo(f"Video: {output} ({count} frames, {count / chosen:.1f} s)")


@avatar.command()
def export(
    folder: Folder,
    output: OutputFile,
    motion: Annotated[
        Path | None,
        typer.Option(
            help="A performance: a page plays it, splats show its first frame; else rest.", show_default=False
        ),
    ] = None,
) -> None:
    """Write an avatar as a web page that plays it in any browser (.html), or as splats (.ply as 3DGS has it, .spz)."""
    with one_sentence_errors(ValueError):
        from avatars.export import splats as format_of_splats
        from avatars.gaussian import GaussianAvatar, save_page, splats
        from morphable import Performance

        performance = None if motion is None else Performance.load(motion)
        made = GaussianAvatar.load(folder)
        if output.suffix.lower() == PAGE:
            output.parent.mkdir(parents=True, exist_ok=True)
            count = save_page(made, output, performance)
            typer.echo(f"Page: {output} ({count} frames, {output.stat().st_size / 1e6:.1f} MB)")
        else:
            shown = splats(made, performance)
            output.parent.mkdir(parents=True, exist_ok=True)
            format_of_splats.save(shown, output)
            typer.echo(f"Splats: {output} ({len(shown.means)})")


@avatar.command()
def view(
    folder: Folder,
    motion: Annotated[
        Path | None, typer.Option(help="A performance to play: .csv .json .npz.", show_default=False)
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="On this machine alone.")] = 8080,
) -> None:
    """Show an avatar in the browser: orbit, 52 sliders, playback. Needs the extra `viewer`."""
    with one_sentence_errors(ValueError, ImportError):
        from avatars.gaussian import GaussianAvatar
        from avatars.gaussian.viewer import Page
        from morphable import Performance

        performance = None if motion is None else Performance.load(motion)
        page = Page(GaussianAvatar.load(folder), performance, port)
        typer.echo(f"Open {page.address} (Ctrl-C ends it)")
        try:
            page.run()
        except KeyboardInterrupt:
            page.close()


def _colour(text: str) -> "np.ndarray":
    """Encoded sRGB in [0, 1]."""
    import numpy as np
    from PIL import ImageColor

    from face3d.errors import Face3DError

    try:
        return np.array(ImageColor.getrgb(text)[:3], np.float32) / 255
    except ValueError as error:
        raise Face3DError(f"{text!r} is no colour: give a name or #rrggbb.") from error


class LearningLines(TerminalProgress):
    """Shows a person how far tracking and learning are, and how well held-out frames are met."""

    def __init__(self) -> None:
        super().__init__(
            TextColumn("{task.description:38}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[quality]}"),
            TimeRemainingColumn(),
        )
        self._tasks: dict[str, TaskID] = {}

    def frames(self, stage: str, done: int, total: int, quality: str = "") -> None:
        """Of the named stage, so many frames are done; a total of 0 means that nobody knows."""
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total or None, quality="")
        self._progress.update(self._tasks[stage], completed=done, total=total or None, quality=quality)

    def steps(self, done: int, total: int, quality: float) -> None:
        """So many steps of learning are done; held-out frames are met with so many dB."""
        self.frames("learning", done, total, "" if math.isnan(quality) else f"{quality:.2f} dB held out")
