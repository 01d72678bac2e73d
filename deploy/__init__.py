"""How Vigil is put on machines: the embedded stack, and configuration for real servers."""
