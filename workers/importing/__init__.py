"""Brings the files of a model in: from folders, caches of the Hub, archives and other hubs."""
