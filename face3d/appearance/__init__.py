"""What a head looks like: light, skin, texture and pictures."""
