"""The nodes that run jobs, and their devices."""
