"""Deployments, their immutable revisions, roll-outs, and the replicas that serve them."""
