"""Decides: the domain of language models. Imports neither console nor workers, and never torch."""
