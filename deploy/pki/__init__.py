"""The community's own certificate authority, for those who run it."""
