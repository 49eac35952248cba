"""Batch inference: many requests answered by a job, each exactly once."""
