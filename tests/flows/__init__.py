"""Flows through a real stack: every process, public interfaces alone, nothing replaced."""
