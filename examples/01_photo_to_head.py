"""One photo to a head that a game engine opens: `python examples/01_photo_to_head.py [photo] [folder]`."""

import sys
from pathlib import Path

from PIL import Image

from face3d.photo import load_photo
from face3d.reconstruction import run_reconstruction


def main() -> None:
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else "out/demo")
    folder.mkdir(parents=True, exist_ok=True)
    photo = Path(sys.argv[1]) if len(sys.argv) > 1 else public_domain_portrait(folder / "astronaut.png")
    run_reconstruction(load_photo(photo)).save(folder)
    print(f"The head:            {folder / 'head.glb'}")
    print(f"What it looks like:  {folder / 'preview.png'}")


def public_domain_portrait(path: Path) -> Path:
    """NASA's portrait of the astronaut Eileen Collins, which scikit-image carries."""
    from skimage.data import astronaut

    Image.fromarray(astronaut()).save(path)
    return path


if __name__ == "__main__":
    main()
