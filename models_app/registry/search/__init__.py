"""Searches for training runs: a small filter language, compiled to SQL over indexed tables."""
