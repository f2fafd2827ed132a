"""What avatars have in common, of whatever they are made: the surface they are bound to, their folders, learning."""
