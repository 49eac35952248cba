"""Tests of alerts: what rules say, what is measured, how alerts move."""
