"""What we compare with, as its documentation would have it built; each runs in its own environment."""
