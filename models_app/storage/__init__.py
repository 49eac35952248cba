"""The store of files as something to look after: who holds what, garbage, checks, uploads."""
