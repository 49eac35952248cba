"""Bundles: one file that carries a version, with its record, from one console to another."""
