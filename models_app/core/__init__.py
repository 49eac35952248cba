"""What every domain app stands on: errors, states, clock, catalogues. No tables."""
