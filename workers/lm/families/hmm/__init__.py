"""Hidden Markov models whose states emit tokens."""
