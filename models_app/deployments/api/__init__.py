"""The API of deployments: `resources` reads and makes them, `actions` moves them."""
