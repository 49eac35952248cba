"""Live events: their names, payloads and topics; published after commit, never the only copy."""
