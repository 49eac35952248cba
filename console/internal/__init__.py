"""What joined nodes ask of the console: stored files. Everybody else uses /api and /v1."""
