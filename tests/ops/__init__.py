"""`make ops-check`: all that an ops team relies upon, in one command."""
