"""An installation from a Debian package into an empty folder, seen to start."""
