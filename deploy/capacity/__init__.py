"""How much hardware so many communities take; writes docs/capacity.md."""
