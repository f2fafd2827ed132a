"""`python -m face3d` is `face3d`."""

from face3d.cli import main

main()
