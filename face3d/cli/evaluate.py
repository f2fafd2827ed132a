"""`face3d evaluate`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from face3d.cli.talk import StageLines, one_sentence_errors

if TYPE_CHECKING:
    from face3d.evaluation import Evaluation


def evaluate(
    predictions: Annotated[
        Path,
        typer.Option("--pred", help="Folder of predictions: .glb, or .obj/.ply with landmarks.", show_default=False),
    ],
    scans: Annotated[
        Path, typer.Option("--scans", help="Folder of scans: .obj or .ply, with landmarks.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for table.md, curves.png, errors.json.", show_default=False),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="Name in the table; else the folder's.", show_default=False)
    ] = None,
) -> None:
    """Compare predicted faces with scans by the NoW protocol: distances, metric and scale-free, and by region."""
    with one_sentence_errors(ValueError):
        from face3d.output import require_writable_directory

        if output is not None:
            require_writable_directory(output)
        with StageLines() as stages:
            stages("loading", 0.0)
            from face3d.evaluation import evaluate as evaluate_folders
            from face3d.evaluation.summary import table

            found = evaluate_folders(predictions, scans, stages)
            name = method or predictions.resolve().name
            if output is not None:
                stages("saving", 0.0)
                _save(output, found, name)
        for scan in found.missing:
            typer.echo(f"Warning: nothing was predicted for {scan}.", err=True)
        typer.echo(table(found, name))


def _save(folder: Path, found: "Evaluation", method: str) -> None:
    from face3d.evaluation.summary import as_json, curves, table
    from face3d.output import atomic_directory

    with atomic_directory(folder) as fresh:
        (fresh / "table.md").write_text(table(found, method) + "\n", encoding="utf-8")
        (fresh / "errors.json").write_text(json.dumps(as_json(found, method), indent=1), encoding="utf-8")
        (fresh / "curves.png").write_bytes(curves({method: found}))
