"""Hyper-parameter search: a sweep starts trainings with chosen settings and ends the hopeless."""
