"""One training in several processes: starting them, joining them, dividing the work."""
