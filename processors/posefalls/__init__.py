"""Falls seen by a camera, judged by key points alone."""
