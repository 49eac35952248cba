"""The cage around an attempt, on what this machine offers and on made-up machines."""
