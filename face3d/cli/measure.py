"""`face3d measure`."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from face3d.cli.options import HeadFile
from face3d.cli.talk import one_sentence_errors

if TYPE_CHECKING:
    from face3d.measurement import Measurement


def measure(
    head: HeadFile,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure a head as callipers and a tape would: millimetres, ± one standard deviation where the head knows it."""
    with one_sentence_errors(ValueError):
        from face3d.measurement import measure as measure_head
        from morphable import Head

        found = measure_head(Head.load(head))
    if as_json:
        typer.echo(json.dumps({name: _in_millimetres(each) for name, each in found.items()}, indent=2))
    elif sys.stdout.isatty():
        _print_table(found)
    else:
        for name, each in found.items():
            typer.echo(f"{name.replace('_', ' '):<24}{_value(each):>7} {_deviation(each)}")


def _print_table(found: "dict[str, Measurement]") -> None:
    from rich.console import Console
    from rich.table import Table

    from face3d.measurement import MEASURES

    table = Table(box=None, header_style="bold")
    table.add_column("measure")
    table.add_column("mm", justify="right")
    table.add_column("± deviation")
    table.add_column("what", style="dim")
    for name, each in found.items():
        table.add_row(name.replace("_", " "), _value(each), _deviation(each), MEASURES[name])
    Console().print(table)


def _in_millimetres(measurement: "Measurement") -> dict[str, float | None]:
    deviation = measurement.deviation
    return {
        "value_mm": round(1000 * measurement.value, 3),
        "deviation_mm": None if deviation is None else round(1000 * deviation, 3),
    }


def _value(measurement: "Measurement") -> str:
    return f"{1000 * measurement.value:.1f}"


def _deviation(measurement: "Measurement") -> str:
    return "± unknown" if measurement.deviation is None else f"± {1000 * measurement.deviation:.1f}"
