"""`face3d parse`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from face3d.cli.options import Landmarker, OutputFile
from face3d.cli.talk import StageLines, one_sentence_errors

if TYPE_CHECKING:
    from face3d.perception.network import FaceReading


def parse(
    photos: Annotated[list[Path], typer.Argument(help="Photos with faces.", show_default=False)],
    output: OutputFile,
    network: Annotated[
        Path | None, typer.Option(help="A .safetensors of `face3d train perception`.", show_default=False)
    ] = None,
    landmarker: Landmarker = None,
) -> None:
    """See what the project's own network reads in faces: a .png or .jpg to look at, or a .json with all numbers."""
    with one_sentence_errors(), StageLines() as stages:
        from face3d.errors import Face3DError

        if output.suffix.lower() not in (".png", ".jpg", ".jpeg", ".json"):
            raise Face3DError(f"{output}: choose .png or .jpg for a picture, .json for numbers.")
        stages("loading", 0.0)
        from face3d.perception import MediaPipeDetector
        from face3d.perception.network import FaceReader
        from face3d.photo import load_photo

        reader, found = FaceReader.load(network), []
        with MediaPipeDetector(landmarker) as detector:
            for index, path in enumerate(photos):
                stages("reading faces", index / len(photos))
                pixels = load_photo(path).pixels
                found += [(path, pixels, reader.read(pixels, face.box)) for face in detector.detect(pixels)]
        if not found:
            raise Face3DError("There is no face in these photos; choose photos that show faces clearly.")
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.suffix.lower() == ".json":
            _write_json(output, [(path, reading) for path, _, reading in found])
        else:
            from PIL import Image

            from face3d.perception.network.sheet import sheet_of_readings

            Image.fromarray(sheet_of_readings([face[1:] for face in found])).save(output)
    typer.echo(f"Faces: {output} ({len(found)})")


def _write_json(path: Path, faces: list[tuple[Path, "FaceReading"]]) -> None:
    import json

    from face3d.synth import CLASSES
    from morphable import ARKIT_NAMES

    described = [
        {
            "photo": str(photo),
            "landmarks": face.landmarks.round(2).tolist(),
            "deviation": face.deviation.round(2).tolist(),
            "visible": face.visible.round(3).tolist(),
            "rotation": face.rotation.round(4).tolist(),
            "expression": dict(zip(ARKIT_NAMES, face.expression.round(3).tolist(), strict=True)),
            "crop": {name: round(value, 3) for name, value in vars(face.crop).items()},
            "class_names": CLASSES,
            "classes": face.classes.tolist(),
        }
        for photo, face in faces
    ]
    path.write_text(json.dumps(described) + "\n")
