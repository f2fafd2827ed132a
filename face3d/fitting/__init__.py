"""From what perception saw to a head before a camera."""
