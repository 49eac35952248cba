"""Processes forked from a template, compared with those started from nothing."""
