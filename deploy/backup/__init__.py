"""Backups of the database, and the way back.

A base backup a day and the stream of the write-ahead log (PostgreSQL's own programs) in a folder
on another disk.  `plan` decides (pure), `__main__` carries out.  What is lost with the newest part of the
stream comes from elsewhere: events from Kafka, whose offsets are restored with the
rows, so that what came after them is read again (decision 0041).
"""
