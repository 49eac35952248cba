"""What scores of single documents say: figures with intervals, and evaluations against others."""
