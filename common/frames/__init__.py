"""How frames reach extractors on request, and how results come back in order."""
