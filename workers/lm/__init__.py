"""The engine room: torch, no Django; usable without a database."""
