"""Pages of access; each view reads through selectors or calls one service."""
