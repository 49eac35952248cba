"""Browser pages: server-rendered, one module per area; they translate a request into one call."""
