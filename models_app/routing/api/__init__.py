"""The API of routes: `resources` reads and writes them, `asking` explains them."""
