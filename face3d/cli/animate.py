"""`face3d animate`."""

from pathlib import Path
from typing import Annotated

import typer

from face3d.cli.talk import OutputFile, one_sentence_errors


def animate(
    head: Annotated[Path, typer.Argument(help="A head saved by face3d (.glb).", show_default=False)],
    motion: Annotated[Path, typer.Argument(help="A performance: .csv .json .npz.", show_default=False)],
    output: OutputFile,
) -> None:
    """Save a head with a performance as its animation: .glb, or with the extra usd .usda .usdc .usdz."""
    with one_sentence_errors(ValueError):
        from avatars.export import animated_format
        from morphable import Head, Performance

        chosen = animated_format(output)
        person, performance = Head.load(head), Performance.load(motion)
        output.parent.mkdir(parents=True, exist_ok=True)
        chosen.save(person, output, performance)
    typer.echo(f"Animated head: {output} ({len(performance)} frames, {performance.duration:.1f} s)")
