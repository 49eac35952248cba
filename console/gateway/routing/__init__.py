"""Routes in the gateway: their rules decide between deployments, and copies are compared."""
