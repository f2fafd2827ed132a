"""`face3d synth`."""

from pathlib import Path
from typing import Annotated

import typer

from face3d.cli.talk import StageLines, one_sentence_errors

MOST_ON_A_SHEET = 400


def synth(
    count: Annotated[int, typer.Option("--n", min=1, help="How many photos.")] = 16,
    sheet: Annotated[
        Path | None, typer.Option(help="Picture of all of them side by side: .png or .jpg.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for WebDataset shards (.tar).", show_default=False)
    ] = None,
    labels: Annotated[bool, typer.Option("--labels", help="Show classes, landmarks and normals on the sheet.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same photos.")] = 0,
    size: Annotated[int, typer.Option(min=64, max=1024, help="Pixels a side.")] = 256,
) -> None:
    """Make photos of people who do not exist, with exact labels: a sheet to look at, or shards to learn from."""
    with one_sentence_errors(), StageLines() as stages:
        _require_use(count, sheet, output)
        stages("drawing", 0.0)
        if sheet is not None:
            _write_sheet(sheet, count, seed, size, labels, stages)
        if output is not None:
            from face3d.synth.shards import write_shards

            write_shards(output, count, seed, size, lambda done: stages("drawing", done))
    for path in (sheet, output):
        if path is not None:
            typer.echo(f"Photos: {path} ({count})")


def _require_use(count: int, sheet: Path | None, output: Path | None) -> None:
    from face3d.errors import Face3DError

    if sheet is None and output is None:
        raise Face3DError("Say what to write: --sheet out.png to look at them, or -o DIR for shards.")
    if sheet is not None and sheet.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise Face3DError(f"{sheet}: a sheet is a .png or a .jpg; choose one of them.")
    if sheet is not None and count > MOST_ON_A_SHEET:
        raise Face3DError(f"A sheet holds at most {MOST_ON_A_SHEET} photos; ask for fewer, or leave --sheet out.")


def _write_sheet(path: Path, count: int, seed: int, size: int, labels: bool, stages: StageLines) -> None:
    from PIL import Image

    from face3d.synth import synthetic_photo
    from face3d.synth.sheet import sheet

    photos = []
    for index in range(count):
        photos.append(synthetic_photo(seed, index, size))
        stages("drawing", (index + 1) / count)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet(photos, labels)).save(path)
