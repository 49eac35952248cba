"""Where something comes from and what came of it: from an answer to the source files, and back."""
