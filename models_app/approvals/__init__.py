"""Who must agree before something goes into an environment: policies, requests, votes."""
