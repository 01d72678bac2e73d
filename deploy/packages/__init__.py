"""What a host without containers installs from: pinned wheels in a folder, and Debian packages of them.

`closure` says which pins a part needs (pure), `debian` what is in its package (pure), `__main__`
fetches, checks and builds.  Images are made of the same folder.
"""
