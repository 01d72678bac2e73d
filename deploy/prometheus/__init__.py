"""What Prometheus reads, and what it is to say: metrics, rules, and their reference."""
