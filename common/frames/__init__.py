"""Send frames to extractors on request, and put their results back in order."""
