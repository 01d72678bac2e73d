"""Broken routines: what a person at home does every day, and did not do today.  Pure."""
