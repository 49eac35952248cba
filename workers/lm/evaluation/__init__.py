"""Scoring a finished model on text it has not seen."""
