"""Show alerts to people and take their actions: the API, the live stream and the duty console."""
