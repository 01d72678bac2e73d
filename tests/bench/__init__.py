"""`make bench`: our parts and the usual ones, side by side, in one run on one machine."""
