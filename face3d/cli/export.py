"""`face3d export`."""

from face3d.cli.options import HeadFile, OutputFile
from face3d.cli.talk import one_sentence_errors, save_head


def export(
    head: HeadFile,
    output: OutputFile,
) -> None:
    """Convert a head to another format."""
    with one_sentence_errors(ValueError):
        from morphable import Head

        save_head(Head.load(head), output)
