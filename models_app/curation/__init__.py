"""Preparing dataset versions, judging their quality, and waivers of what blocks them."""
