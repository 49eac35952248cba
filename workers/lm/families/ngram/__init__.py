"""Back-off n-gram models, smoothed by interpolated modified Kneser-Ney."""
