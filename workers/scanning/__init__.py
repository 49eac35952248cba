"""Looks into the files of a version without ever loading them: names, bytes, headers, text."""
