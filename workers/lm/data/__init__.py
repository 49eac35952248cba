"""Documents, their tokens on disk, and the batches drawn from them."""
