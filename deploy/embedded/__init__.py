"""The embedded stack: real servers that come as wheels, and the supervisor behind `make up`."""
