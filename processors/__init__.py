"""Turn events into detections and alerts."""
