-- What a detector remembers of a resident stays: a processor that is about to decide takes the row for
-- granted between creating and locking it, and there is one row a resident.
DELETE FROM retention WHERE class = 'memory';
