"""The demonstration: data → train → version → approve → deploy → answer, through the public API."""
