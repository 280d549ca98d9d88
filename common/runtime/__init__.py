"""How a service runs, reports, starts and ends together with others."""
