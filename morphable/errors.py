"""What goes wrong with other people's files."""


class ModelFileError(ValueError):
    """One clear sentence that says what is wrong with a file; the command line prints it as it is."""


class UnsafeFileError(ModelFileError):
    """The file asks to run code."""
