"""`python -m tests.load`: many devices at once, and how soon what they send is stored."""
