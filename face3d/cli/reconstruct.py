"""`face3d reconstruct`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from face3d.cli.options import Landmarker, WhichFace
from face3d.cli.talk import StageLines, one_sentence_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from face3d.perception import FaceDetector
    from face3d.perception.published import PublishedNetwork
    from face3d.reconstruction import Reconstruction


def reconstruct(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            help="Photos of one person; one scan; or the transforms.json of pictures with known cameras.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.", show_default=False)],
    face: WhichFace = 0,
    texture_size: Annotated[int, typer.Option(min=64, max=8192, help="Pixels a side of the texture.")] = 2048,
    model: Annotated[
        str, typer.Option(help="Model whose mesh and coefficients the head gets: see `face3d models list`.")
    ] = "default",
    network: Annotated[
        str | None,
        typer.Option(
            help="Published network of that model, which gives the shape: mica, smirk …; or a .safetensors of "
            "`face3d train perception`, which reads the photos for the fit.",
            show_default=False,
        ),
    ] = None,
    landmarker: Landmarker = None,
) -> None:
    """Reconstruct a head from photos or a scan: head.glb, preview.png, fit.png, albedo.png, report.json."""
    with one_sentence_errors(ImportError):
        from face3d.errors import Face3DError
        from face3d.output import require_writable_directory

        require_writable_directory(output)
        _require_model(model)
        own = _own_network(network)
        published = _network(network, model) if own is None else None
        with StageLines() as stages:
            stages("loading", 0.0)
            from face3d.perception import MediaPipeDetector
            from face3d.scan_file import is_scan, is_views

            with MediaPipeDetector(landmarker) as detector:
                shapes = [path for path in inputs if is_scan(path) or is_views(path)]
                if shapes:
                    if network is not None:
                        raise Face3DError("A scan has a shape of its own; --network is for photos.")
                    if len(inputs) > 1:
                        raise Face3DError("A scan is reconstructed on its own, and so is a transforms.json.")
                    result = _from_shape(shapes[0], texture_size, detector, stages)
                else:
                    result = _from_photos(inputs, face, texture_size, own(detector) if own else detector, stages)
                if model != "default":
                    stages("carrying it to the other model", 0.0)
                    result = _on_model(result, model)
                if published is not None:
                    stages("asking the network", 0.0)
                    result = _reshaped(result, published, inputs, face, detector)
            stages("saving", 0.0)
            result.save(output)
        for warning in result.report.get("warnings", []):
            typer.echo(f"Warning: {warning}", err=True)
        typer.echo(f"Head:    {output / 'head.glb'}")
        typer.echo(f"Preview: {output / 'preview.png'}")


def _require_model(name: str) -> None:
    from face3d.errors import Face3DError
    from morphable import names

    if name not in names():
        raise Face3DError(f"There is no model {name!r}; there are {', '.join(names())} (`face3d models add` adds one).")


def _on_model(result: "Reconstruction", model: str) -> "Reconstruction":
    """The same person on another model's mesh; pictures and the rest of the report stay the default head's."""
    from dataclasses import replace

    from face3d.convert import convert

    conversion = convert(result.head, model)
    left = {"surface_mm": round(conversion.surface_mm, 3), "coefficients_mm": round(conversion.model_mm, 3)}
    return replace(result, head=conversion.head, report=result.report | {"converted": {"model": model} | left})


def _own_network(name: str | None) -> "Callable[[FaceDetector], FaceDetector] | None":
    """What makes a detector read faces by the network of a .safetensors file; None where none is named."""
    from functools import partial

    from face3d.perception.network import FaceReader, NetworkDetector

    if name is None or Path(name).suffix != ".safetensors":
        return None
    return partial(NetworkDetector, reader=FaceReader.load(Path(name)))


def _network(name: str | None, model: str) -> "PublishedNetwork | None":
    from face3d.perception import published

    return None if name is None else published.load(name, model)


def _reshaped(
    result: "Reconstruction", network: "PublishedNetwork", paths: list[Path], face: int, detector: "FaceDetector"
) -> "Reconstruction":
    from dataclasses import replace

    from face3d.photo import load_photo
    from face3d.published_shape import read_photos, reshaped

    seen = read_photos(network, [load_photo(path) for path in paths], face, detector)
    head, report = reshaped(result.head, network.name, seen)
    return replace(result, head=head, report=result.report | {"shape_by": report})


def _from_photos(
    paths: list[Path], face: int, texture_size: int, detector: "FaceDetector", stages: StageLines
) -> "Reconstruction":
    from face3d.photo import load_photo
    from face3d.reconstruction import run_reconstruction

    photos = [load_photo(path) for path in paths]
    return run_reconstruction(photos, face=face, texture_size=texture_size, detector=detector, progress=stages)


def _from_shape(path: Path, texture_size: int, detector: "FaceDetector", stages: StageLines) -> "Reconstruction":
    from face3d.scan import run_scan
    from face3d.scan_file import is_views
    from face3d.views import run_views

    run = run_views if is_views(path) else run_scan
    return run(path, texture_size=texture_size, detector=detector, progress=stages)
