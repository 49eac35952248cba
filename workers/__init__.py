"""Computes: runs jobs on the nodes. Imports models_app, never console."""
