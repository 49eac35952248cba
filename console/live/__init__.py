"""The browser's socket: says that something changed; pages then fetch what changed."""
