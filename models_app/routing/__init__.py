"""Routes: public names whose rules say which deployment answers a request."""
