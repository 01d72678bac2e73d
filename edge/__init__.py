"""The edge room: watch one place, and publish what was seen until the platform has it."""
