"""`face3d animate`."""

import typer

from face3d.cli.options import HeadFile, Motion, OutputFile
from face3d.cli.talk import one_sentence_errors


def animate(
    head: HeadFile,
    motion: Motion,
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
