"""What goes wrong for reasons a person can mend."""


class Face3DError(ValueError):
    """One clear sentence that says what is wrong and what to do about it; the command line prints it as it is."""
