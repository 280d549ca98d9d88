"""Run recordings through the windows and decision of the live pipeline."""
