"""One file per job kind."""
