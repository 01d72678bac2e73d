"""`make faults`: kill everything, at any moment, and count what became of every accepted event.

`box` accepts a seeded load, `cluster` runs the real processes, `plan` says what breaks when,
`checker` counts afterwards without using any of the product's code.
"""
