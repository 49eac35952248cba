"""Rules of the whole code base, as tests."""
