"""What the platform is made of, and whether something is known against it."""
