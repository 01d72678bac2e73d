"""What a box observes: cameras, wearables, ambient sensors; each yields `edge.reading.Reading`s."""
