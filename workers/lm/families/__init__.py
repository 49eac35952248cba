"""The shapes of language models and how they are built and read."""
